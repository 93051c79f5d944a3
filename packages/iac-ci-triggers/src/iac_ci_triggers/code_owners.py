"""Reads CODEOWNERS as GitHub and GitLab do, each in its own way: pure.

The last pattern that matches a path decides, in each section of GitLab's for itself, where a pattern that stands twice
has its first place and its last owners (GitLab keeps rules in a Ruby hash). On GitHub a pattern with a slash
in it begins at the root, and a folder's name stands for all below. On GitLab only a slash at the beginning means the
root, and only one at the end means all below (GitLab's ``Gitlab::CodeOwners::File#normalize_pattern``). A line that
cannot be read makes the whole file unreadable: nobody may lose a say by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common.globs import compiled

if TYPE_CHECKING:
    from iac_ci_common.globs import Glob

_SECTION: Final = re.compile(
    r"(?P<optional>\^?)\[(?P<name>[^\]]+)\](?:\[(?P<count>\d{1,2})\])?(?P<owners>(?:\s+\S+)*)\s*", re.ASCII
)
_SPACE: Final = re.compile(r"(?<!\\)\s+", re.ASCII)
_COMMENT: Final = re.compile(r"\s#.*", re.ASCII)
_BLANKS: Final = " \t\r\f\v"
_LOST: Final = "\ufffd"
"""What stands for bytes that are not UTF-8."""

_UNNAMED: Final = "codeowners"
"""GitLab's name of the section of what stands before the first head: a head of this name joins it."""

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
    count: int
    is_optional: bool


@dataclass(slots=True, eq=False)
class _Section:
    """What stands under the head of a section; ``rules`` are those of all sections of its name."""

    owners: tuple[str, ...]
    count: int
    is_optional: bool
    rules: dict[str, _Rule]


class CodeOwners:
    """The owners of paths."""

    def __init__(self, sections: list[_Section]) -> None:
        """Keep the sections of a file, which ``read_code_owners`` makes."""
        self._sections = sections

    def of(self, path: str) -> tuple[Owned, ...]:
        """Return the owners of a path, of each section that has some; none if nobody owns it."""
        found = []
        for section in self._sections:
            # A rule is as its own head says; a section is optional if all of its rules are.
            rules = section.rules.values()
            if all(rule.is_optional for rule in rules):
                continue
            rule = next((one for one in reversed(rules) if any(glob.matches(path) for glob in one.globs)), None)
            owners = rule.owners if rule is not None else ()
            if rule is not None and owners:
                found.append(Owned(owners, rule.count))
        return tuple(found)


def read_code_owners(text: bytes, *, as_gitlab: bool = False) -> CodeOwners:
    """Return the owners that a file names, as GitHub or GitLab reads it.

    Raises ``Unreadable`` for a line that cannot be read; for GitHub, the head of a section is one.
    """
    sections = [_Section((), 1, is_optional=False, rules={})]
    by_name = {_UNNAMED: sections[0]}
    # Only line feeds end lines: what a reader of the file takes for a comment, to the end of its line, names nobody.
    lines = text.decode("utf-8-sig", "replace").split("\n")
    if b"\0" in text:
        raise Unreadable("it is no text in UTF-8")
    if len(lines) > _MAX_LINES:
        raise Unreadable(f"it has more than {_MAX_LINES} lines")
    for number, line in enumerate(lines, start=1):
        bare = _COMMENT.sub("", line).strip(_BLANKS)
        if not bare or bare.startswith("#"):
            continue
        if _LOST in bare:
            raise Unreadable(f"line {number} is no text in UTF-8")
        head = _SECTION.fullmatch(bare) if as_gitlab else None
        if head is not None:
            name = head["name"].strip().casefold()
            made = _Section(tuple(head["owners"].split()), max(1, int(head["count"] or 1)), bool(head["optional"]), {})
            if name in by_name:
                # GitLab joins sections of the same name.
                made.rules = by_name[name].rules
                sections.remove(by_name[name])
            by_name[name] = made
            sections.append(made)
            continue
        pattern, *owners = _SPACE.split(bare)
        body = _body(pattern, number, as_gitlab=as_gitlab)
        under = sections[-1]
        key = body if as_gitlab else str(number)
        globs = _globs(_gitlab(body) if as_gitlab else _github(body), number)
        under.rules[key] = _Rule(globs, tuple(owners) or under.owners, under.count, under.is_optional)
    return CodeOwners(sections)


def _body(pattern: str, number: int, *, as_gitlab: bool) -> str:
    """Return a pattern without escapes; one of GitLab's as its ``normalize_pattern`` makes it, from the root."""
    if pattern.startswith("!") or "[" in pattern or "?" in pattern or (pattern.startswith("\\#") and not as_gitlab):
        raise Unreadable(f"line {number} has a pattern that cannot be read for sure")
    body = pattern.replace("\\ ", " ").replace("\\#", "#")
    if not as_gitlab:
        return body
    rooted = body if body.startswith("/") else f"/**/{body}"
    return f"{rooted}**/*" if rooted.endswith("/") else rooted


def _globs(patterns: list[str], number: int) -> tuple[Glob, ...]:
    """Return the patterns of the engine that match what a pattern of CODEOWNERS matches."""
    try:
        return tuple(compiled(one) for one in patterns)
    except ValueError as error:
        raise Unreadable(f"line {number} has a pattern that {error}") from None


def _github(body: str) -> list[str]:
    core = body.strip("/")
    if not core:
        return ["**"]
    prefix = "**/" if "/" not in body.rstrip("/") and core != "**" else ""
    below = f"{prefix}{core}/**"
    if body.endswith("/"):
        return [below]
    ends_open = core.rpartition("/")[2] in {"*", "**"}
    return [f"{prefix}{core}"] if ends_open else [f"{prefix}{core}", below]


def _gitlab(body: str) -> list[str]:
    # Ruby's fnmatch reads two asterisks as one unless a slash follows them.
    before, slash, last = body.removeprefix("/").rpartition("/")
    return [f"{before}{slash}{'*' if last == '**' else last}"]


__all__ = ["CodeOwners", "Owned", "Unreadable", "read_code_owners"]
