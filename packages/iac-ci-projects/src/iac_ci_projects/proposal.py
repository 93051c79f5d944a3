"""Proposes rules for a commit that has none yet: pure."""

from __future__ import annotations

from dataclasses import dataclass
from posixpath import basename, commonpath, dirname
from typing import TYPE_CHECKING, Final

from iac_ci_common.globs import escape
from iac_ci_projects.discovery import find_projects, unusable, usable_part
from iac_ci_projects.rules import Rule, Tool
from iac_ci_projects.terraform_files import TOFU_SUFFIXES, is_configuration, read_folder
from iac_ci_projects.terragrunt_files import UNIT_FILE, read_unit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iac_ci_common.tree import Tree

_USUAL: Final = ("backend.tf", "providers.tf", "provider.tf", "versions.tf", "terraform.tf", "main.tf")
"""Names of files that mark a project, the clearest first."""


_NO_BACKEND: Final = "no backend, unlike others"


@dataclass(frozen=True, slots=True)
class Proposal:
    """Rules that find the projects of a commit, their folders, and files of variables that no tool reads by itself."""

    rules: tuple[Rule, ...]
    folders: tuple[str, ...]
    var_files: tuple[tuple[str, tuple[str, ...]], ...]
    """Each folder with its files, as paths from the folder."""

    left_out: tuple[tuple[str, str], ...] = ()
    """Folders that no other one uses and that are no projects here, each with the reason."""


def propose(tree: Tree) -> Proposal:
    """Return rules for the projects of a commit.

    Projects are folders with a backend or, without any, those with configuration that no other folder calls as a
    module; and folders with a ``terragrunt.hcl`` that no other such file includes.
    """
    tree = usable_part(tree)
    units = _units(tree)
    with_backend, others = _roots(tree, units)
    found = with_backend or others
    left_out = dict.fromkeys(others if with_backend else (), _NO_BACKEND)
    left_out |= {folder: reason for folder in found | units if (reason := unusable(folder)) is not None}
    roots = {folder for folder in found if unusable(folder) is None}
    units = {folder for folder in units if unusable(folder) is None}
    tofu = {folder for folder in roots if any(path.endswith(TOFU_SUFFIXES) for path in tree.by_folder[folder])}
    rules = _rules(units, tree, Tool.TERRAGRUNT, (UNIT_FILE,))
    rules += _rules(roots - tofu, tree, Tool.TERRAFORM, _names(roots - tofu, tree))
    rules += _rules(tofu, tree, Tool.OPENTOFU, _names(tofu, tree))
    folders = tuple(sorted({*units, *roots}))
    return Proposal(tuple(rules), folders, tuple(_var_files(folders, tree)), tuple(sorted(left_out.items())))


def _names(folders: set[str], tree: Tree) -> list[str]:
    """Return the names of configuration files that all folders have, those that usually mark a project first."""
    found = [{basename(path) for path in tree.by_folder[folder] if is_configuration(path)} for folder in folders]
    common = set.intersection(*found) if found else set()
    usual = [name for name in (*_USUAL, *(name.replace(".tf", ".tofu") for name in _USUAL)) if name in common]
    return [*usual, *sorted(common - set(usual))]


def _units(tree: Tree) -> set[str]:
    folders = {dirname(path) for path in tree.entries if basename(path) == UNIT_FILE}
    included = {dirname(path) for folder in folders for path in read_unit(folder, tree).files if path in tree.entries}
    return folders - included if folders - included else folders


def _roots(tree: Tree, units: set[str]) -> tuple[set[str], set[str]]:
    """Return the folders with a backend, and the others that none calls as a module."""
    # A folder with files of OpenTofu is proposed for it, and the tools read the others alike.
    read = {
        folder: read_folder(folder, tree, Tool.OPENTOFU)
        for folder, paths in tree.by_folder.items()
        if any(map(is_configuration, paths)) and folder not in units
    }
    of_units = {module for unit in units for module in read_unit(unit, tree).modules}
    called = {module for reading in read.values() for module in reading.modules} | of_units
    with_backend = {folder for folder, reading in read.items() if reading.has_backend}
    return with_backend, {folder for folder in read if folder not in called and folder not in with_backend}


def _rules(folders: set[str], tree: Tree, tool: Tool, names: Iterable[str]) -> list[Rule]:
    """Return one rule that finds exactly these folders, or one rule for each."""
    if len(folders) < 2:
        return [Rule(folder=folder, tool=tool) for folder in sorted(folders)]
    above = commonpath([f"/{folder}" for folder in folders])[1:]
    start = f"{escape(above)}/" if above else ""
    for name in names:
        pattern = f"{start}**/{name}"
        plain = Rule((pattern,), tool=tool)
        for rule in (plain, _without_others(plain, name, folders, tree)):
            if {project.folder for project in find_projects([rule], tree).projects} == folders:
                return [rule]
    return [Rule(folder=folder, tool=tool) for folder in sorted(folders)]


def _without_others(rule: Rule, name: str, folders: set[str], tree: Tree) -> Rule:
    """Return a rule that excludes what it would find beside the folders.

    These are the highest folders without any of them, and of the folders above one of them the files themselves.
    """
    others = {project.folder for project in find_projects([rule], tree).projects} - folders
    parents = {parent for folder in folders for parent in ("", *_parents(folder))}
    above = [f"{other}/{name}" if other else name for other in sorted(others & parents)]
    highest = {next(parent for parent in _parents(other) if parent not in parents) for other in others - parents}
    excluded = [*(f"!{escape(path)}" for path in above), *(f"!{escape(folder)}/**" for folder in sorted(highest))]
    return Rule((*rule.find, *excluded), tool=rule.tool)


def _parents(folder: str) -> list[str]:
    """Return a folder and those above it, the highest first."""
    parts = folder.split("/")
    return ["/".join(parts[: index + 1]) for index in range(len(parts))]


def _var_files(folders: Iterable[str], tree: Tree) -> Iterable[tuple[str, tuple[str, ...]]]:
    for folder in folders:
        start = f"{folder}/" if folder else ""
        found = [path[len(start) :] for path in tree.entries if path.startswith(start) and path.endswith(".tfvars")]
        asked = tuple(sorted(path for path in found if not _loads_alone(path)))
        if asked:
            yield folder, asked


def _loads_alone(path: str) -> bool:
    return path == "terraform.tfvars" or ("/" not in path and path.endswith(".auto.tfvars"))


__all__ = ["Proposal", "propose"]
