"""Files that are left out of the code: the patterns of ``.iac-ci-ignore``, written as those of ``.gitignore``."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, ClassVar, Final

from iac_ci_common.errors import PreparationFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_MAX_BYTES: Final = 64 * 1024
_OWN: Final = ".git/"


class LeftOut:
    """The paths that a list of patterns leaves out. ``.git`` is never one of them."""

    FILE_NAME: ClassVar[str] = ".iac-ci-ignore"

    def __init__(self, lines: Iterable[str] = ()) -> None:
        """Read patterns as git reads those of ``.gitignore`` (gitignore(5)): the last one that matches counts."""
        self._spec = None
        chosen = [line for line in lines if line.strip() and not line.startswith("#")]
        if chosen:
            from pathspec import GitIgnoreSpec

            self._spec = GitIgnoreSpec.from_lines(chosen)

    @classmethod
    def of(cls, folder: Path, *, before: Iterable[str] = ()) -> LeftOut:
        """Read the patterns of a folder, after the patterns ``before``. Without the file there are none of its own.

        Raises ``PreparationFailed`` if the file has more than 64 KiB, or is not a file.
        """
        path = folder / cls.FILE_NAME
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            return cls(before)
        if not stat.S_ISREG(mode) or path.lstat().st_size > _MAX_BYTES:
            raise PreparationFailed(f"{cls.FILE_NAME} is not a file of at most {_MAX_BYTES} bytes")
        return cls([*before, *path.read_text("utf-8", "replace").splitlines()])

    def __contains__(self, path: object) -> bool:
        """Return whether a path, relative to the folder, is left out; a folder's path ends with a slash."""
        # A byte that is not UTF-8 is one character of a pattern.
        text = str(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return self._spec is not None and not f"{text}/".startswith(_OWN) and self._spec.match_file(text)

    def files(self, folder: Path) -> Iterator[str]:
        """Return the paths of all other files, links and empty folders of a folder.

        Raises ``OSError`` for a folder that cannot be read.
        """

        def fail(error: OSError) -> None:
            raise error  # os.walk skips a folder that it cannot read, and files would be missing

        for current, folders, files in os.walk(folder, onerror=fail):
            parent = os.path.relpath(current, folder)
            prefix = "" if parent == "." else f"{parent}/"
            kept = [name for name in folders if f"{prefix}{name}/" not in self]
            linked = [name for name in kept if os.path.islink(os.path.join(current, name))]  # noqa: PTH114, PTH118
            folders[:] = [name for name in kept if name not in linked]
            yield from (f"{prefix}{name}" for name in (*files, *linked) if f"{prefix}{name}" not in self)
            if prefix and not files and not kept:
                yield prefix.rstrip("/")
