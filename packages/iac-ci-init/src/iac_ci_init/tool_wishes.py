"""Decides which tools an order asks for, and how: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iac_ci_common.models.tools import Tool
from iac_ci_common.tool_versions import Constraint, Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from iac_ci_init.version_files import FolderVersions, Written


@dataclass(frozen=True, slots=True)
class Wish:
    """A tool that an order asks for. ``where`` says where, for people."""

    tool: Tool
    where: str
    request: Request | None
    constraints: tuple[Constraint, ...]
    own_counts: bool
    """Whether the version in this function's image is also that of the order's worker."""


def wishes(
    name: str,
    tools: Mapping[Tool, str],
    folder: FolderVersions,
    usual: Tool | None,
    *,
    own_counts: bool,
    problems: list[str],
) -> list[Wish]:
    """Return what the order ``name`` asks for; add what is wrong to ``problems``.

    The order's own ``tools`` come before version files, and these before ``required_version``. Without the former,
    ``required_version`` is about OpenTofu in a module with ``.tofu`` files, otherwise about the ``usual`` tool, which
    the image has.
    """
    named = {Tool.TERRAFORM, Tool.OPENTOFU}.intersection((*tools, *folder.files))
    of_module = Tool.OPENTOFU if folder.has_tofu else usual
    read = named or {of_module or Tool.TERRAFORM}
    parsed = dict(_constraints(dict.fromkeys(each for tool in read for each in folder.constraints_of(tool)), problems))
    constraints = {tool: tuple(parsed[each] for each in folder.constraints_of(tool) if each in parsed) for tool in read}
    found: list[Wish] = []
    for tool in Tool:
        written = folder.files.get(tool)
        if tool in tools:
            where, text = f"{tool} of the order {name}", tools[tool]
        elif written is not None:
            where, text = f"{tool} of {written.path}", written.text
        else:
            continue
        try:
            request = Request.parse(text)
        except ValueError as error:
            problems.append(f"{where}: {error}")
            continue
        found.append(Wish(tool, where, request, constraints.get(tool, ()), own_counts))
    if not named and of_module is not None and constraints[of_module]:
        where = f"{of_module} of required_version in {folder.constraints_of(of_module)[0].path}"
        found.append(Wish(of_module, where, None, constraints[of_module], own_counts))
    return found


def _constraints(written: Iterable[Written], problems: list[str]) -> Iterator[tuple[Written, Constraint]]:
    for entry in written:
        try:
            yield entry, Constraint.parse(entry.text)
        except ValueError as error:
            problems.append(f"required_version in {entry.path}: {error}")
