"""What each project reads outside of its folder, and the projects that it comes after: pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from posixpath import dirname
from typing import TYPE_CHECKING, Final

from iac_ci_common.tree import Tree
from iac_ci_projects.rules import Tool
from iac_ci_projects.terraform_files import is_configuration, read_folder
from iac_ci_projects.terragrunt_files import read_unit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from iac_ci_projects.terraform_files import FolderReading, State

MAX_MODULES: Final = 2000
"""Most folders of modules that one project calls, directly or not."""

_MAX_REMARKS: Final = 20


@dataclass(frozen=True, slots=True)
class ProjectReading:
    """What one project reads; the fields are those of ``FoundProject``."""

    folders: tuple[str, ...]
    files: tuple[str, ...]
    after: tuple[str, ...]
    may_read_more: bool
    remarks: tuple[str, ...]


@dataclass(slots=True)
class _Gathered:
    folders: dict[str, None] = field(default_factory=dict)
    files: dict[str, None] = field(default_factory=dict)
    after: dict[str, None] = field(default_factory=dict)
    states: dict[State, None] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def read_projects(projects: Mapping[str, Tool], tree: Tree) -> dict[str, ProjectReading]:
    """Return what each project reads; ``projects`` are the tools by the projects' folders."""
    folders = _Folders(tree)
    gathered = {folder: _gathered(folder, tool, folders, tree) for folder, tool in projects.items()}
    for folder, read in gathered.items():
        _add_links(folder, projects, read, folders, tree)
    owners: dict[State, list[str]] = {}
    for folder, tool in projects.items():
        own = folders.reading(folder, tool).own_state
        if own is not None:
            owners.setdefault(own, []).append(folder)
    edges: dict[str, list[str]] = {}
    for folder, read in gathered.items():
        named = [owner for state in read.states for owner in owners.get(state, ())]
        real = (tree.resolved(path) for path in read.after)
        named += [path for path in real if path is not None and path in projects]
        edges[folder] = [other for other in dict.fromkeys(named) if other != folder]
    found: dict[str, ProjectReading] = {}
    for folder, read in gathered.items():
        remarks = [*read.unreadable, *read.remarks]
        more = [f"and {len(remarks) - _MAX_REMARKS} more"] if len(remarks) > _MAX_REMARKS else []
        found[folder] = ProjectReading(
            tuple(path for path in read.folders if path != folder),
            tuple(read.files),
            tuple(edges[folder]),
            bool(read.unreadable),
            tuple(remarks[:_MAX_REMARKS] + more),
        )
    return found


class _Folders:
    """Readings of folders, each read once for a tool, however many projects use it."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._read: dict[tuple[str, Tool], FolderReading] = {}

    def reading(self, folder: str, tool: Tool) -> FolderReading:
        """Return what the files of a folder say that a tool reads."""
        if (folder, tool) not in self._read:
            self._read[folder, tool] = read_folder(folder, self._tree, tool)
        return self._read[folder, tool]

    def has_configuration_below(self, folder: str) -> bool:
        """Return whether a folder or one below it has configuration files."""
        return folder in self._configured

    @cached_property
    def _configured(self) -> frozenset[str]:
        return Tree({path: entry for path, entry in self._tree.entries.items() if is_configuration(path)}).folders


def _gathered(folder: str, tool: Tool, folders: _Folders, tree: Tree) -> _Gathered:
    """Follow the modules of a project, each once."""
    found = _Gathered()
    waiting = [folder]
    if tool is Tool.TERRAGRUNT:
        unit = read_unit(folder, tree)
        found.files |= dict.fromkeys(unit.files)
        found.after |= dict.fromkeys(unit.dependencies)
        found.unreadable += unit.unreadable
        waiting += unit.modules
    seen: set[str] = set()
    while waiting:
        named = waiting.pop()
        real = tree.resolved(named)
        if real is None:
            found.unreadable.append(f"{named}: is outside of the repository")
            continue
        if real in seen:
            continue
        seen.add(real)
        if len(seen) > MAX_MODULES:
            found.unreadable.append(f"{folder or 'the root'}: calls more than {MAX_MODULES} modules")
            break
        found.folders[real] = None
        if real != named:
            found.folders[named] = None
            found.files |= dict.fromkeys(tree.links_on(named))
        submodule = tree.submodule_of(real)
        if submodule is not None:
            # The path of a submodule is itself a changed path, and its files are in another repository.
            found.files[submodule] = None
            continue
        reading = folders.reading(real, tool)
        found.states |= dict.fromkeys(reading.states)
        found.unreadable += reading.unreadable_paths
        found.remarks += reading.unreadable_states
        waiting += reading.modules
    return found


def _add_links(folder: str, projects: Collection[str], found: _Gathered, folders: _Folders, tree: Tree) -> None:
    """Add what the links in the project's folders, and on the way to its files, stand for.

    A folder with configuration counts only where a module's source leads to it: a link to all modules is common.
    """
    inside = [
        link for own in found.folders for link in tree.links_below(own) if _owner(link, own, projects) in {own, folder}
    ]
    waiting = [*found.files, *inside]
    while waiting:
        path = waiting.pop()
        links, real = tree.links_on(path), tree.resolved(path)
        found.files |= dict.fromkeys(link for link in links if link != path)
        if real is None or not links:
            continue
        if real not in tree.folders:
            found.files[tree.submodule_of(real) or real] = None
        elif real not in found.folders and not folders.has_configuration_below(real):
            found.folders[real] = None
            waiting += tree.links_below(real)


def _owner(path: str, above: str, projects: Collection[str]) -> str:
    """Return the folder of the innermost project that a path is in, up to ``above``."""
    folder = dirname(path)
    while folder != above and folder not in projects:
        folder = dirname(folder)
    return folder


__all__ = ["ProjectReading", "read_projects"]
