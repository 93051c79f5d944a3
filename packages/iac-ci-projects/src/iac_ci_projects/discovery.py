"""Finds the projects of a commit: pure. Rules find folders, the files in them tell what the projects read."""

from __future__ import annotations

import re
from bisect import bisect_left
from posixpath import dirname
from typing import TYPE_CHECKING, Final

from iac_ci_common.globs import compiled, matches
from iac_ci_common.left_out import LeftOut, lines_of
from iac_ci_common.tree import Entry, EntryKind, Tree
from iac_ci_projects.found import Found, FoundProject
from iac_ci_projects.reads import read_projects
from iac_ci_projects.terraform_files import MAX_FILE_BYTES, is_configuration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from iac_ci_projects.rules import Rule

MAX_PROJECTS: Final = 500
"""Most projects: a plan and an apply of each are 1,000 orders, the most that a job has."""

MAX_FOLDER_CHARS: Final = 1024
"""Longest path of a project's folder, in characters, as of an order's ``git_folder``."""

MAX_READ_BYTES: Final = 32 * 1024 * 1024
"""Most bytes of files of a commit that are read."""

_FETCHED: Final = frozenset({".terraform", ".terragrunt-cache"})
"""Folders in which Terraform and Terragrunt keep copies of what they fetch; nothing in them is a project."""

_NOT_IN_FOLDERS: Final = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff\ufffd]|\{\{")
_READ: Final = (".hcl",)


class TooManyProjects(ValueError):
    """The rules find more than ``MAX_PROJECTS`` projects, or their files have more than ``MAX_READ_BYTES``."""


def files_to_read(entries: Mapping[str, Entry]) -> list[str]:
    """Return the files of a commit whose content can matter: configuration of the tools, links, what is left out."""
    chosen: list[str] = []
    size = 0
    for path, entry in entries.items():
        if entry.kind is EntryKind.LINK or path == LeftOut.FILE_NAME:
            chosen.append(path)
        # A file that is too large counts as one that cannot be read.
        elif _can_matter(path, entry) and entry.size <= MAX_FILE_BYTES:
            chosen.append(path)
            size += entry.size
    if size > MAX_READ_BYTES:
        raise TooManyProjects(f"the commit has more than {MAX_READ_BYTES} bytes of configuration files")
    return chosen


def _can_matter(path: str, entry: Entry) -> bool:
    return entry.kind is EntryKind.FILE and (path.endswith(_READ) or is_configuration(path))


def find_projects(rules: Sequence[Rule], tree: Tree, removed: Iterable[str] = ()) -> Found:
    """Return the projects that the rules find.

    ``removed`` are paths that the change removes, also by moving files: projects that it deletes are found by them.
    Raises ``TooManyProjects``.
    """
    there = usable_part(tree)
    gone = [path for path in removed if path not in tree.entries]
    present, former = _Index(there.entries), _Index(gone)
    found: dict[str, list[int]] = {}
    deleted: dict[str, list[int]] = {}
    left_out: dict[str, str] = {}
    for number, rule in enumerate(rules):
        for folder, is_deleted in _folders(rule, there, present, former):
            if reason := unusable(folder):
                left_out[folder] = reason
            else:
                (deleted if is_deleted else found).setdefault(folder, []).append(number)
    # A rule may still find a folder in which another rule's file was deleted.
    deleted = {folder: numbers for folder, numbers in deleted.items() if folder not in found}
    if len(found) + len(deleted) > MAX_PROJECTS:
        raise TooManyProjects(
            f"the configuration finds {len(found) + len(deleted)} folders; the orders of a job allow {MAX_PROJECTS}"
            " projects"
        )
    read = read_projects({folder: rules[numbers[0]].tool for folder, numbers in found.items()}, there)
    projects = [
        FoundProject(
            tuple(numbers),
            folder,
            folders=read[folder].folders,
            files=read[folder].files,
            after=read[folder].after,
            may_read_more=read[folder].may_read_more,
            remarks=read[folder].remarks,
        )
        for folder, numbers in found.items()
    ]
    projects += [FoundProject(tuple(numbers), folder, is_deleted=True) for folder, numbers in deleted.items()]
    return Found(tuple(sorted(projects, key=_folder)), tuple(sorted(left_out.items())))


def _folder(project: FoundProject) -> str:
    return project.folder


def usable_part(tree: Tree) -> Tree:
    """Return a tree without what ``.iac-ci-ignore`` leaves out of the code that orders get, and without copies."""
    entries = {path: entry for path, entry in tree.entries.items() if not _is_fetched(path)}
    patterns = tree.contents.get(LeftOut.FILE_NAME)
    if patterns is None:
        return tree if len(entries) == len(tree.entries) else Tree(entries, tree.contents)
    left_out = LeftOut(lines_of(patterns))
    return Tree({path: entry for path, entry in entries.items() if path not in left_out}, tree.contents)


def _is_fetched(path: str) -> bool:
    return ".terra" in path and not _FETCHED.isdisjoint(path.split("/")[:-1])


class _Index:
    """Paths, to find those that match patterns."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = sorted(paths)

    def matching(self, patterns: Sequence[str]) -> Iterable[str]:
        """Yield the paths that the patterns include."""
        seen: set[str] = set()
        for pattern in patterns:
            glob = compiled(pattern)
            if glob.excludes:
                continue
            for index in range(bisect_left(self._paths, glob.prefix), len(self._paths)):
                path = self._paths[index]
                if not path.startswith(glob.prefix):
                    break
                if path not in seen and glob.matches(path) and matches(patterns, path):
                    seen.add(path)
                    yield path

    def has_below(self, folder: str) -> bool:
        """Return whether a path is in a folder or below it."""
        start = f"{folder}/" if folder else ""
        at = bisect_left(self._paths, start)
        return at < len(self._paths) and self._paths[at].startswith(start)


def _folders(rule: Rule, tree: Tree, present: _Index, former: _Index) -> Iterable[tuple[str, bool]]:
    """Yield the folders of a rule, and whether each is deleted."""
    if rule.folder is not None:
        if rule.folder in tree.folders:
            yield rule.folder, False
        elif former.has_below(rule.folder):
            yield rule.folder, True
        return
    folders = {
        dirname(path) for path in present.matching(rule.find) if tree.entries[path].kind is not EntryKind.SUBMODULE
    }
    yield from ((folder, False) for folder in folders)
    yield from ((folder, True) for folder in {dirname(path) for path in former.matching(rule.find)} - folders)


def unusable(folder: str) -> str | None:
    """Return why a folder cannot be a project, None if it can."""
    if len(folder) > MAX_FOLDER_CHARS:
        return f"the path of the folder has more than {MAX_FOLDER_CHARS} characters"
    if _NOT_IN_FOLDERS.search(folder) is not None:
        return "the path of the folder has control characters, a backslash, {{ or bytes that are not UTF-8"
    return None


__all__ = [
    "MAX_PROJECTS",
    "MAX_READ_BYTES",
    "TooManyProjects",
    "files_to_read",
    "find_projects",
    "unusable",
    "usable_part",
]
