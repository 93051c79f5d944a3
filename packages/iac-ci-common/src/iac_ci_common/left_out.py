"""Files that are left out of the code: the patterns of ``.iac-ci-ignore``, written as those of ``.gitignore``."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, ClassVar, Final

from iac_ci_common.errors import PreparationFailed
from iac_ci_common.ignore_patterns import IgnorePattern, IgnorePatterns, NoPattern
from iac_ci_common.limits import MAX_NAMES_IN_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MAX_PATTERNS: Final = 1000
"""Most patterns: each path of a commit is compared with each of them."""

MAX_IGNORE_BYTES: Final = 64 * 1024
"""Longest file of patterns, in bytes."""

_MOST_SHOWN: Final = 3
_OWN: Final = ".git/"


class LeftOut:
    """The paths that a list of patterns leaves out. ``.git`` is never one of them.

    What is in a folder that is left out is left out too, whatever later patterns say (gitignore(5)).
    """

    FILE_NAME: ClassVar[str] = ".iac-ci-ignore"

    def __init__(self, lines: Iterable[str] = ()) -> None:
        """Read patterns. Raises ``PreparationFailed`` for lines that are no patterns, or too many of them."""
        found: list[IgnorePattern] = []
        problems: list[str] = []
        for line in lines:
            try:
                pattern = IgnorePattern.parse(line)
            except NoPattern as error:
                problems.append(f"{line!r:.80} {error}")
            else:
                found += [pattern] if pattern is not None else []
        if problems:
            raise PreparationFailed(f"{self.FILE_NAME}: {'; '.join(problems[:_MOST_SHOWN])}")
        if len(found) > MAX_PATTERNS:
            raise PreparationFailed(f"{self.FILE_NAME} has more than {MAX_PATTERNS} patterns")
        self._patterns = IgnorePatterns(found)
        self._folders: dict[str, bool] = {}

    @classmethod
    def of(cls, folder: Path, *, before: Iterable[str] = ()) -> LeftOut:
        """Read the patterns of a folder, after the patterns ``before``. Without the file there are none of its own.

        Raises ``PreparationFailed`` if the file has more than 64 KiB, is not a file or has lines that are no patterns.
        """
        path = folder / cls.FILE_NAME
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            return cls(before)
        if not stat.S_ISREG(mode):
            raise _not_a_file()
        with path.open("rb") as opened:
            return cls.read(opened.read(MAX_IGNORE_BYTES + 1), before=before)

    @classmethod
    def read(cls, content: bytes, *, before: Iterable[str] = ()) -> LeftOut:
        """Return the patterns of a file's content, after the patterns ``before``; raise ``PreparationFailed``."""
        if len(content) > MAX_IGNORE_BYTES:
            raise _not_a_file()
        return cls([*before, *lines_of(content)])

    def __contains__(self, path: object) -> bool:
        """Return whether a path, relative to the folder, is left out; a folder's path ends with a slash."""
        if not self._patterns:
            return False
        # A byte that is not UTF-8 is one character of a pattern.
        text = str(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        if f"{text}/".startswith(_OWN):
            return False
        at = text.find("/")
        while 0 <= at < len(text) - 1:
            if self._leaves_out_folder(text[: at + 1]):
                return True
            at = text.find("/", at + 1)
        return self._patterns.decide(text) is True

    def _leaves_out_folder(self, folder: str) -> bool:
        known = self._folders.get(folder)
        if known is None:
            known = self._folders[folder] = self._patterns.decide(folder) is True
        return known

    def files(self, folder: Path) -> Iterator[str]:
        """Return the paths of all other files, links and empty folders of a folder.

        Raises ``OSError`` for a folder that cannot be read, and ``PreparationFailed`` for folders too deep to walk.
        """

        def fail(error: OSError) -> None:
            raise error  # os.walk skips a folder that it cannot read, and files would be missing

        for current, folders, files in os.walk(folder, onerror=fail):
            parent = os.path.relpath(current, folder)
            prefix = "" if parent == "." else f"{parent}/"
            kept = [name for name in folders if f"{prefix}{name}/" not in self]
            if kept and prefix.count("/") >= MAX_NAMES_IN_PATH:
                raise PreparationFailed(
                    f"{prefix!r:.80} is in more than {MAX_NAMES_IN_PATH - 1} folders inside one another; rename or"
                    f" remove it, or leave it out with a line in {self.FILE_NAME}"
                )
            linked = [name for name in kept if os.path.islink(os.path.join(current, name))]  # noqa: PTH114, PTH118
            folders[:] = [name for name in kept if name not in linked]
            yield from (f"{prefix}{name}" for name in (*files, *linked) if f"{prefix}{name}" not in self)
            if prefix and not files and not kept:
                yield prefix.rstrip("/")


def _not_a_file() -> PreparationFailed:
    return PreparationFailed(f"{LeftOut.FILE_NAME} is not a file of at most {MAX_IGNORE_BYTES} bytes")


def lines_of(content: bytes) -> list[str]:
    """Return the lines of a file of patterns.

    Bytes that are not UTF-8 become one character each, as in names. Raises ``PreparationFailed`` for UTF-16.
    """
    if b"\0" in content:
        raise PreparationFailed(f"{LeftOut.FILE_NAME} is not UTF-8; some editors and shells of Windows write UTF-16")
    return content.decode("utf-8-sig", "replace").split("\n")
