"""A commit's files: their paths, what they are, and the content of those that were chosen to be read."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from posixpath import dirname, normpath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_LINKS: Final = 40
"""Most links that are followed for one path, as in Linux (path_resolution(7))."""


class EntryKind(StrEnum):
    """What a path of a commit is."""

    FILE = "file"
    LINK = "link"
    SUBMODULE = "submodule"


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a commit. ``size`` is a file's bytes; 0 if it is unknown or the entry is no file.

    ``content_id`` is equal for two entries of the same kind if their content is; empty if it is unknown.
    """

    kind: EntryKind = EntryKind.FILE
    size: int = 0
    content_id: str = field(default="", compare=False)


@dataclass(frozen=True)
class Tree:
    """The paths of a commit with their entries, and the bytes of the files and links that were read.

    Paths are from the repository's root with single slashes; folders are only in the paths of what is in them.
    """

    entries: Mapping[str, Entry]
    contents: Mapping[str, bytes] = field(default_factory=dict)

    @cached_property
    def by_folder(self) -> Mapping[str, tuple[str, ...]]:
        """The paths that are directly in each folder, sorted; the root is ``""``."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.entries):
            found.setdefault(dirname(path), []).append(path)
        return {folder: tuple(paths) for folder, paths in found.items()}

    @cached_property
    def folders(self) -> frozenset[str]:
        """All folders, also those that hold only other folders; the root is ``""``."""
        found = {""}
        for path in self.by_folder:
            folder = path
            while folder not in found:
                found.add(folder)
                folder = dirname(folder)
        return frozenset(found)

    @cached_property
    def _submodules(self) -> frozenset[str]:
        return frozenset(path for path, entry in self.entries.items() if entry.kind is EntryKind.SUBMODULE)

    def submodule_of(self, path: str) -> str | None:
        """Return the path of the submodule that a path is, or is in; None if it is in none."""
        while self._submodules and path:
            if path in self._submodules:
                return path
            path = dirname(path)
        return None

    @cached_property
    def _links(self) -> Mapping[str, str]:
        links = (path for path, entry in self.entries.items() if entry.kind is EntryKind.LINK)
        return {path: self.contents[path].decode("utf-8", "replace") for path in links if path in self.contents}

    def resolved(self, path: str) -> str | None:
        """Return the path of a file or folder with its links followed; None if it is outside of the repository.

        The root is ``""``. A path at which nothing is stays as it is. Nothing is read from a disk.
        """
        return self._followed(path)[1]

    def links_on(self, path: str) -> tuple[str, ...]:
        """Return the paths of the links that are followed from a path, in this order, also in its folders."""
        return self._followed(path)[0]

    def links_below(self, folder: str) -> Iterator[str]:
        """Yield the paths of the links that are below a folder, sorted."""
        start = f"{folder}/" if folder else ""
        for index in range(bisect_left(self._sorted_links, start), len(self._sorted_links)):
            if not self._sorted_links[index].startswith(start):
                break
            yield self._sorted_links[index]

    @cached_property
    def _sorted_links(self) -> tuple[str, ...]:
        return tuple(sorted(self._links))

    def _followed(self, path: str) -> tuple[tuple[str, ...], str | None]:
        links: list[str] = []
        for _ in range(MAX_LINKS):
            path = normpath(path) if path else "."
            if path.startswith(("/", "../")) or path == "..":
                return tuple(links), None
            if path == ".":
                return tuple(links), ""
            link = self._link_in(path)
            if link is None:
                return tuple(links), path
            links.append(link)
            target = self._links[link]
            if target.startswith("/"):
                return tuple(links), None
            path = f"{dirname(link) or '.'}/{target}{path[len(link) :]}"
        return tuple(links), None

    def _link_in(self, path: str) -> str | None:
        """Return the first part of a path that is a link."""
        if not self._links:
            return None
        at = path.find("/")
        while at != -1:
            if path[:at] in self._links:
                return path[:at]
            at = path.find("/", at + 1)
        return path if path in self._links else None


def differences(one: Tree, other: Tree) -> frozenset[str]:
    """Return the paths at which two commits differ."""

    def seen(tree: Tree, path: str) -> tuple[EntryKind, str] | None:
        entry = tree.entries.get(path)
        return None if entry is None else (entry.kind, entry.content_id)

    return frozenset(path for path in {*one.entries, *other.entries} if seen(one, path) != seen(other, path))


def joined(folder: str, path: str) -> str | None:
    """Return a path that is relative to a folder from the repository's root; None if it is outside of it."""
    if path.startswith("/"):
        return None
    found = normpath(f"{folder or '.'}/{path}")
    if found == ".." or found.startswith("../"):
        return None
    return "" if found == "." else found
