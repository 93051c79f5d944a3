"""Copies files that an order saves, or that a failed order leaves, out of the commands' reach."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common.globs import matches
from iac_ci_common.limits import MAX_NAMES_IN_PATH, MAX_SAVED_BYTES, MAX_SAVED_FILES
from iac_ci_common.packing import name_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MAX_VISITED: Final = 200_000
"""Most files, folders and links that are examined; commands can make any number of them."""

_CHUNK: Final = 1024 * 1024
_MAX_NAMES: Final = 5
_REFUSED: Final = {errno.ELOOP: "it is a symbolic link", errno.ENXIO: "it is not a regular file"}
"""Errors of ``open`` that say what a name stands for: a link with ``O_NOFOLLOW``, a socket."""


@dataclass(frozen=True, slots=True)
class Collected:
    """The names of the files that were copied, and the problems of what is left out."""

    names: tuple[str, ...]
    problems: tuple[str, ...]


class FileCollector:
    """Finds and copies files below the order's folder, which it keeps open from before the first command.

    Commands own the folder and can put links, devices and files of other users into it, so nothing is opened through
    a link, and only regular files of the commands' user are copied.
    """

    def __init__(self, folder: Path, owner: int) -> None:
        """Open ``folder``; ``owner`` is the user of the commands."""
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        self._owner = owner

    def close(self) -> None:
        """Close the folder."""
        os.close(self._folder)

    def collect(self, patterns: Sequence[str], private: Path) -> Collected:
        """Copy the files that match ``patterns`` into ``private``, an empty folder.

        Call this when no process of the commands is left. Raises ``OSError``.
        """
        names: list[str] = []
        problems: list[str] = []
        free = MAX_SAVED_BYTES
        for name, parent in self._names(problems):
            if not matches(patterns, name):
                continue
            if len(names) == MAX_SAVED_FILES:
                problems.append(f"more than {MAX_SAVED_FILES} files match; the rest is left out")
                break
            size, problem = self._copy(name, parent, private / name, free)
            if problem is not None:
                problems.append(f"{name!r:.200} {problem}")
            else:
                names.append(name)
                free -= size
        if len(problems) > _MAX_NAMES:
            problems = [*problems[:_MAX_NAMES], f"{len(problems) - _MAX_NAMES} more are left out"]
        return Collected(tuple(names), tuple(problems))

    def remove_others(self, wanted: Sequence[Sequence[str]]) -> None:
        """Remove the files that match none of the lists of patterns; what cannot be removed stays.

        Call this when no process of the commands is left, and nothing reads their files any more.
        """
        for name, parent in self._names([]):
            if not any(matches(patterns, name) for patterns in wanted):
                with contextlib.suppress(OSError):
                    os.unlink(name.rpartition("/")[2], dir_fd=parent)

    def _names(self, problems: list[str]) -> Iterator[tuple[str, int]]:
        """Yield the name of each file and link with the descriptor of its folder, which is open until the next one."""
        visited = 0
        too_deep = False

        def cannot_read(error: OSError) -> None:
            problems.append(f"the folder {error.filename!r:.200} cannot be read: {error.strerror}")

        for current, folders, files, descriptor in os.fwalk(".", dir_fd=self._folder, onerror=cannot_read):
            folders.sort()
            below = "" if current == "." else current.removeprefix("./") + "/"
            visited += len(files) + len(folders)
            if visited > MAX_VISITED:
                problems.append(f"there are more than {MAX_VISITED} files and folders; the rest is not examined")
                return
            links = [name for name in folders if _is_link(name, descriptor)]
            if folders and below.count("/") >= MAX_NAMES_IN_PATH - 1:
                folders.clear()
                if not too_deep:
                    problems.append(f"more than {MAX_NAMES_IN_PATH - 1} folders inside one another are not examined")
                too_deep = True
            for name in sorted([*files, *links]):
                yield below + name, descriptor

    def _copy(self, name: str, parent: int, path: Path, free: int) -> tuple[int, str | None]:
        """Copy one file; return its size, and why it is left out if it is."""
        if (problem := name_problem(name)) is not None:
            return 0, f"is left out: the name {problem}"
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(name.rpartition("/")[2], flags, dir_fd=parent)
        except OSError as error:
            return 0, f"is left out: {_REFUSED.get(error.errno or 0, error.strerror)}"
        try:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                return 0, "is left out: it is not a regular file"
            if about.st_uid != self._owner:
                return 0, "is left out: it belongs to another user"
            if about.st_size > free:
                return 0, f"is left out: an order keeps {MAX_SAVED_BYTES} bytes at most"
            try:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                copy = path.open("xb")
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
                # Commands can nest folders beyond what a path may have.
                return 0, f"is left out: {error.strerror}"
            with os.fdopen(descriptor, "rb", closefd=False) as source, copy:
                shutil.copyfileobj(source, copy, _CHUNK)
            path.chmod(0o700 if about.st_mode & stat.S_IXUSR else 0o600)
            return about.st_size, None
        finally:
            os.close(descriptor)


def _is_link(name: str, parent: int) -> bool:
    """Return whether a name in an open folder is a symbolic link; one to a folder is listed among the folders."""
    with contextlib.suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    return False
