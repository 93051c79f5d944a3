"""Reads a Terragrunt unit: what its configuration and the files that it includes name, as far as it is plain text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from posixpath import dirname, relpath
from typing import TYPE_CHECKING, Final

from iac_ci_common.tree import EntryKind, joined
from iac_ci_projects.expressions import MAX_CHARS, known_locals, text_of
from iac_ci_projects.hcl import UnreadableHcl, blocks, call_at, items
from iac_ci_projects.terraform_files import MAX_FILE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from iac_ci_common.tree import Tree
    from iac_ci_projects.expressions import Function
    from iac_ci_projects.hcl import Block

UNIT_FILE: Final = "terragrunt.hcl"
"""The file of a unit, and the default of ``find_in_parent_folders`` (Terragrunt's documentation)."""

_JSON: Final = ".json"
_UNIT_FILES: Final = (UNIT_FILE, f"{UNIT_FILE}{_JSON}")
_KINDS: Final = frozenset({"include", "dependency", "dependencies", "terraform", "locals"})
_ROOT: Final = "\0"
"""Stands for the path of the repository, which is not known here."""

_READS: Final = re.compile(r"\b(find_in_parent_folders|read_terragrunt_config|sops_decrypt_file|file)[ \t]*\(")
_FIND: Final = "find_in_parent_folders"
_PATH: Final = "path"
"""Stands for the name of a function that reads a file, to know the file instead of what it says."""

_VAR_FILES: Final = ("required_var_files", "optional_var_files")
_MAX_READS: Final = 200


@dataclass(slots=True)
class UnitReading:
    """What a unit's files say, with paths from the repository's root. ``unreadable`` is for the user."""

    files: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    dependencies: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def read_unit(folder: str, tree: Tree) -> UnitReading:
    """Return what the file ``terragrunt.hcl`` of a folder says, and the files that it includes.

    Files of Terragrunt in JSON are unreadable.
    """
    found = UnitReading()
    path = _first(folder, _UNIT_FILES, tree)
    for included in () if path is None else _read(path, folder, None, tree, found):
        _read(included, folder, dirname(included), tree, found)
    return found


def _first(folder: str, names: Sequence[str], tree: Tree) -> str | None:
    """Return the path of the first of these that a folder has."""
    paths = (f"{folder}/{name}" if folder else name for name in names)
    return next((path for path in paths if tree.resolved(path) in tree.entries or path in tree.folders), None)


def _read(path: str, unit: str, includer: str | None, tree: Tree, found: UnitReading) -> list[str]:
    """Read one file for a unit and return the files that it includes.

    ``includer`` is the folder of a file that the unit includes, None for the unit's own.
    """
    real = tree.resolved(path)
    entry = None if real is None else tree.entries.get(real)
    if real is None or entry is None or entry.kind is not EntryKind.FILE:
        return []
    file = _File(problem="JSON of Terragrunt is not read") if real.endswith(_JSON) else _parsed(tree.contents.get(real))
    if file.problem:
        found.unreadable.append(f"{real}: {file.problem}")
        return []
    read = file.blocks
    known = _functions(unit, {} if includer is None else {"": includer}, tree)
    included = _included(read, real, unit, known, found)
    if includer is None:
        # Only what follows knows the files that the unit includes.
        known = _functions(unit, {label: _folder_of(target) for label, target in included.items()}, tree)
    locals_ = [block.attributes for block in read if block.kind == "locals"]
    values = known_locals({name: text for attributes in locals_ for name, text in attributes.items()}, known)
    for block in read:
        name = f"{block.kind} {block.labels[0]:.80}" if block.labels else block.kind
        expressions = _paths(block.kind, block.attributes)
        if expressions is None:
            found.unreadable.append(f"{real}: the paths of {name} are no list of plain texts")
            continue
        targets = found.modules if block.kind == "terraform" else found.dependencies
        for value in (text_of(expression, known, values) for expression in expressions):
            if value is not None and block.kind == "terraform" and not _is_local(value, unit, tree):
                continue
            target = None if value is None else _from_root(unit, value)
            if target is None:
                found.unreadable.append(f"{real}: the path of {name} is no plain text of a path in the repository")
            else:
                targets.append(target.partition("?")[0] if block.kind == "terraform" else target)
        _add_variable_files(real, block, unit, known, values, found)
    _add_reads(file.reads, real, (unit, unit if includer is None else includer), known, values, found)
    return [target for target in included.values() if target is not None]


def _included(
    read: Sequence[Block], path: str, unit: str, known: Mapping[str, Function], found: UnitReading
) -> dict[str, str | None]:
    """Add the files that blocks include, which know no local values; return them by labels, None for an unknown one."""
    included: dict[str, str | None] = {}
    for block in read:
        if block.kind != "include" or "path" not in block.attributes:
            continue
        label = block.labels[0] if block.labels else ""
        value = text_of(block.attributes["path"], known)
        target = included[label] = None if value is None else _from_root(unit, value)
        if target is None:
            name = f"include {label:.80}".rstrip()
            found.unreadable.append(f"{path}: the path of {name} is no plain text of a path in the repository")
        else:
            found.files.append(target)
    return included


def _folder_of(path: str | None) -> str | None:
    return None if path is None else dirname(path)


@dataclass(frozen=True, slots=True)
class _File:
    """What a file says to every unit: its blocks, and each call that reads a file with its line and function."""

    blocks: Sequence[Block] = ()
    reads: Sequence[tuple[int, str, str | None]] = ()
    problem: str = ""


@lru_cache(maxsize=32)
def _parsed(content: bytes | None) -> _File:
    """Return a file that may be included by hundreds of units, and that anybody who opens a pull request writes."""
    try:
        text = _text(content)
        read = blocks(text, _KINDS, {"extra_arguments"})
    except UnreadableHcl as error:
        return _File(problem=str(error))
    calls = islice(_READS.finditer(text), _MAX_READS + 1)
    # Text that is longer than an expression may be is not walked through.
    reads = [
        (text.count("\n", 0, call.start()) + 1, call[1], call_at(text[call.start() : call.end() + MAX_CHARS], 0))
        for call in calls
    ]
    return _File(read, reads)


def _text(content: bytes | None) -> str:
    """Return a file's text; raise ``UnreadableHcl`` for one that was too large to be read, or is no text."""
    if content is None or len(content) > MAX_FILE_BYTES:
        raise UnreadableHcl(f"has more than {MAX_FILE_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableHcl("is not UTF-8 text") from None


def _paths(kind: str, attributes: Mapping[str, str]) -> Sequence[str] | None:
    """Return the expressions of a block's paths; None if they are no list."""
    if kind == "dependencies":
        return items(attributes.get("paths", "[]"))
    name = {"dependency": "config_path", "terraform": "source"}.get(kind)
    return [attributes[name]] if name is not None and name in attributes else []


def _add_variable_files(
    path: str,
    block: Block,
    unit: str,
    known: Mapping[str, Function],
    values: Mapping[str, str],
    found: UnitReading,
) -> None:
    """Add the files of variables that ``extra_arguments`` name; Terragrunt takes their paths from the unit's folder."""
    for name, text in ((name, inner.attributes.get(name, "[]")) for inner in block.blocks for name in _VAR_FILES):
        listed = items(text)
        for expression in [""] if listed is None else listed:
            value = text_of(expression, known, values)
            target = None if value is None else _from_root(unit, value)
            if target:
                found.files.append(target)
            else:
                found.unreadable.append(f"{path}: a file of {name} is no plain text of a path in the repository")


def _add_reads(
    reads: Sequence[tuple[int, str, str | None]],
    path: str,
    folders: tuple[str, str],
    known: Mapping[str, Function],
    values: Mapping[str, str],
    found: UnitReading,
) -> None:
    """Add the files that functions read, wherever they are called.

    Of ``folders``, the unit's and the file's own, Terraform's ``file`` takes its path from the file's own, and the
    functions of Terragrunt from the unit's.
    """
    unit, own = folders
    for number, (line, function, expression) in enumerate(reads):
        if number == _MAX_READS:
            found.unreadable.append(f"{path}: reads more than {_MAX_READS} files")
            return
        called = expression if expression is None or function == _FIND else _PATH + expression.removeprefix(function)
        value = None if called is None else text_of(called, {**known, _PATH: _first_argument}, values)
        target = None if value is None else _from_root(own if function == "file" else unit, value)
        if target is None:
            found.unreadable.append(f"{path}: line {line} reads a file whose path is no plain text")
        else:
            found.files.append(target)


def _functions(unit: str, includes: Mapping[str, str | None], tree: Tree) -> dict[str, Function]:
    """Return what functions stand for; ``includes`` are the folders of included files, as ``_included`` labels them.

    What a function reads is not known: ``file`` and the like are none of them.
    """
    own_folder = _absolute(unit)

    def parents(arguments: Sequence[str]) -> str | None:
        names = arguments[:1] if arguments and arguments[0] else _UNIT_FILES
        folder = unit
        while folder:
            folder = dirname(folder)
            path = _first(folder, names, tree)
            if path is not None:
                return _absolute(path)
        return arguments[1] if len(arguments) > 1 else None

    def included(arguments: Sequence[str]) -> str | None:
        # As getSelectedIncludeBlock of Terragrunt: a label is needed only where several files are included.
        if len(includes) < 2:
            return next(iter(includes.values()), unit)
        return includes.get(arguments[0]) if len(arguments) == 1 else None

    def of_included(text: Callable[[str], str]) -> Function:
        def found(arguments: Sequence[str]) -> str | None:
            folder = included(arguments)
            return None if folder is None else text(folder)

        return found

    def constant(value: str) -> Function:
        return lambda _: value

    return {
        _FIND: parents,
        "get_terragrunt_dir": constant(own_folder),
        "get_original_terragrunt_dir": constant(own_folder),
        "get_parent_terragrunt_dir": of_included(_absolute),
        "get_repo_root": constant(_ROOT),
        "get_path_from_repo_root": constant(unit or "."),
        "get_path_to_repo_root": constant(relpath(".", unit or ".")),
        "path_relative_to_include": of_included(lambda folder: relpath(unit or ".", folder or ".")),
        "path_relative_from_include": of_included(lambda folder: relpath(folder or ".", unit or ".")),
        "dirname": lambda arguments: dirname(arguments[0]) if len(arguments) == 1 else None,
        "abspath": lambda arguments: arguments[0] if len(arguments) == 1 else None,
    }


def _first_argument(arguments: Sequence[str]) -> str | None:
    return arguments[0] if arguments else None


def _absolute(path: str) -> str:
    return f"{_ROOT}/{path}" if path else _ROOT


def _is_local(source: str, unit: str, tree: Tree) -> bool:
    """Return whether a source is a path. Unlike Terraform's, it need not begin with a dot."""
    if source.startswith(("./", "../", _ROOT)) or source in {".", ".."}:
        return True
    path = joined(unit, source.partition("?")[0])
    return path is not None and tree.resolved(path) in tree.folders


def _from_root(unit: str, value: str) -> str | None:
    """Return a path from the repository's root; None if it is outside of it. ``//`` only divides a module's source."""
    if value.startswith(_ROOT):
        return joined("", value.removeprefix(_ROOT).lstrip("/") or ".")
    return None if value.startswith("/") or _ROOT in value else joined(unit, value)


__all__ = ["UNIT_FILE", "UnitReading", "read_unit"]
