"""Reads CODEOWNERS as GitHub and GitLab do: pure.

The last pattern that matches a path decides, in each section of GitLab's for itself. A line that one of the two hosts
would read in another way makes the whole file unreadable: nobody may lose a say by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common.globs import compiled

if TYPE_CHECKING:
    from iac_ci_common.globs import Glob

_SECTION: Final = re.compile(
    r"(?P<optional>\^?)\[(?P<name>[^\]]+)\](?:\[(?P<count>\d{1,2})\])?(?P<owners>(?:\s+\S+)*)\s*"
)
_SPACE: Final = re.compile(r"(?<!\\)\s+")
_COMMENT: Final = re.compile(r"\s#.*")
_MAX_LINES: Final = 20_000


class Unreadable(Exception):
    """The file has a line that cannot be read; the message names it."""


@dataclass(frozen=True, slots=True)
class Owned:
    """Owners of a file: logins and teams, each with ``@``, or addresses. ``count`` of them must have approved."""

    owners: tuple[str, ...]
    count: int = 1


@dataclass(frozen=True, slots=True)
class _Rule:
    globs: tuple[Glob, ...]
    owners: tuple[str, ...]


@dataclass(slots=True)
class _Section:
    owners: tuple[str, ...]
    count: int
    is_optional: bool
    rules: list[_Rule]


class CodeOwners:
    """The owners of paths."""

    def __init__(self, sections: list[_Section]) -> None:
        """Keep the sections of a file, which ``read_code_owners`` makes."""
        self._sections = sections

    def of(self, path: str) -> tuple[Owned, ...]:
        """Return the owners of a path, of each section that has some; none if nobody owns it."""
        found = []
        for section in self._sections:
            if section.is_optional:
                continue
            rule = next((one for one in reversed(section.rules) if any(glob.matches(path) for glob in one.globs)), None)
            owners = rule.owners if rule is not None else ()
            if owners:
                found.append(Owned(owners, section.count))
        return tuple(found)


def read_code_owners(text: bytes) -> CodeOwners:
    """Return the owners that a file names; raise ``Unreadable`` for a line that cannot be read."""
    sections = [_Section((), 1, is_optional=False, rules=[])]
    by_name = {"": sections[0]}
    lines = text.decode("utf-8", "replace").splitlines()
    if len(lines) > _MAX_LINES:
        raise Unreadable(f"it has more than {_MAX_LINES} lines")
    for number, line in enumerate(lines, start=1):
        bare = _COMMENT.sub("", line).strip()
        if not bare or bare.startswith("#"):
            continue
        head = _SECTION.fullmatch(bare)
        if head is not None:
            name = head["name"].strip().casefold()
            made = _Section(tuple(head["owners"].split()), int(head["count"] or 1), bool(head["optional"]), [])
            if name in by_name:
                # GitLab joins sections of the same name.
                made.rules = by_name[name].rules
                sections.remove(by_name[name])
            by_name[name] = made
            sections.append(made)
            continue
        pattern, *owners = _SPACE.split(bare)
        sections[-1].rules.append(_Rule(_globs(pattern, number), tuple(owners) or sections[-1].owners))
    return CodeOwners(sections)


def _globs(pattern: str, number: int) -> tuple[Glob, ...]:
    """Return the patterns of the engine that match what a pattern of CODEOWNERS matches."""
    if pattern.startswith("!") or "[" in pattern or "?" in pattern:
        raise Unreadable(f"line {number} has a pattern that hosts read in different ways")
    body = pattern.replace("\\ ", " ").replace("\\#", "#")
    is_anchored = "/" in body.rstrip("/")
    is_folder = body.endswith("/")
    core = body.strip("/")
    if not core:
        core, is_folder = "**", False
    prefix = "" if is_anchored or core == "**" else "**/"
    wanted = [f"{prefix}{core}/**"]
    if not is_folder:
        ends_open = core.rpartition("/")[2] in {"*", "**"}
        wanted = [f"{prefix}{core}"] if ends_open else [f"{prefix}{core}", *wanted]
    try:
        return tuple(compiled(one) for one in wanted)
    except ValueError as error:
        raise Unreadable(f"line {number} has a pattern that {error}") from None


__all__ = ["CodeOwners", "Owned", "Unreadable", "read_code_owners"]
