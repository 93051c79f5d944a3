"""Patterns of paths and branches, as in ``.gitignore`` and GitHub Actions, matched in time linear in the path.

``*`` matches anything within a segment, ``?`` one character of it, ``[a-z]`` and ``[!a-z]`` one character of a set,
``**`` between slashes any number of segments (at the end: at least one). A backslash escapes the next character.
A pattern that begins with ``!`` excludes what earlier patterns matched: the last pattern that matches decides.
Case matters, and a leading dot is an ordinary character. A pattern matches the whole path from the root.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SPECIAL: Final = frozenset("*?[]\\!")
_ALTERNATIVES: Final = re.compile(r"(?<![\\{])\{[^{}]*,[^{}]*\}")
_SET_OR_TEMPLATE: Final = re.compile(r"\[[!^]?[^\]]+\]|\{\{[^{}]*\}\}")
_NEVER_IN_BRANCHES: Final = re.compile(r"[\x00-\x20\x7f~^:]")
_NEVER_IN_NAMES: Final = frozenset("*?[\\")


@dataclass(frozen=True, slots=True)
class Glob:
    """A compiled pattern. ``prefix`` is the text at the beginning of every match, to exclude most paths quickly."""

    excludes: bool
    prefix: str
    chunks: tuple[tuple[re.Pattern[str], ...], ...]
    """Segments between ``**``; the first matches at the beginning, the last at the end; each may be empty."""

    def matches(self, path: str) -> bool:
        """Return whether the pattern matches, whether it excludes or not."""
        if not path.startswith(self.prefix):
            return False
        segments = path.split("/")
        first, last = self.chunks[0], self.chunks[-1]
        if len(self.chunks) == 1:
            return len(segments) == len(first) and _fits(first, segments, 0)
        # `**` at the end matches at least one segment; elsewhere it may match none.
        end = len(segments) - (len(last) or 1)
        if end < len(first) or not _fits(first, segments, 0):
            return False
        if last and not _fits(last, segments, end):
            return False
        # Between two `**` the first position that matches is best: it leaves the most segments for the rest.
        at = len(first)
        limit = end
        for chunk in self.chunks[1:-1]:
            while at + len(chunk) <= limit and not _fits(chunk, segments, at):
                at += 1
            if at + len(chunk) > limit:
                return False
            at += len(chunk)
        return True


def _fits(chunk: tuple[re.Pattern[str], ...], segments: list[str], at: int) -> bool:
    return all(pattern.fullmatch(segments[at + number]) for number, pattern in enumerate(chunk))


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> Glob:
    """Return a compiled pattern; raise ``ValueError`` with the problem of one that is not valid."""
    excludes = pattern.startswith("!")
    body = pattern[1:] if excludes else pattern
    if not body:
        raise ValueError("is empty")
    chunks: list[tuple[re.Pattern[str], ...]] = []
    chunk: list[re.Pattern[str]] = []
    for segment in body.split("/"):
        if segment == "**":
            chunks.append(tuple(chunk))
            chunk = []
        else:
            chunk.append(_segment(segment))
    chunks.append(tuple(chunk))
    # Several `**` in a row equal one, except for the segment that one at the end needs.
    inner = [part for part in chunks[1:-1] if part]
    return Glob(excludes, _prefix(body), (chunks[0], *inner, chunks[-1]) if len(chunks) > 1 else (chunks[0],))


def _prefix(body: str) -> str:
    for index, character in enumerate(body):
        if character in _SPECIAL:
            return body[:index]
    return body


def _segment(segment: str) -> re.Pattern[str]:
    """Return the regular expression of a segment.

    Every part between stars has a fixed length, so the first position where it matches is best. Atomic groups never
    backtrack from it, so the time does not grow exponentially with the number of stars.
    """
    if "**" in segment.replace("\\\\", "").replace("\\*", ""):
        raise ValueError("has ** next to other characters; ** must be alone between slashes, as in **/*.tf")
    parts: list[list[str]] = [[]]
    at = 0
    while at < len(segment):
        character = segment[at]
        at += 1
        if character == "*":
            parts.append([])
        elif character == "?":
            parts[-1].append("(?s:.)")
        elif character == "[":
            text, at = _set(segment, at)
            parts[-1].append(text)
        elif character == "\\":
            if at == len(segment):
                raise ValueError("ends with a backslash")
            parts[-1].append(re.escape(segment[at]))
            at += 1
        else:
            parts[-1].append(re.escape(character))
    first, *more = ("".join(part) for part in parts)
    if not more:
        return re.compile(first)
    middle = "".join(f"(?>(?s:.*?){part})" for part in more[:-1] if part)
    return re.compile(f"{first}{middle}(?s:.*){more[-1]}")


def _set(segment: str, at: int) -> tuple[str, int]:
    """Return the regular expression of the set after ``[``, and the index after its ``]``."""
    end = segment.find("]", at + (2 if segment[at : at + 1] in {"!", "^"} else 1))
    if end == -1:
        raise ValueError("has a [ without a ] in the same segment; write \\[ for the character")
    content = segment[at:end]
    negated = content[0] in "!^"
    content = content[1:] if negated else content
    ranges = ""
    index = 0
    while index < len(content):
        low = content[index]
        if content[index + 1 : index + 2] == "-" and index + 2 < len(content):
            high = content[index + 2]
            if high < low:
                raise ValueError(f"has the empty range {low}-{high}")
            ranges += f"{re.escape(low)}-{re.escape(high)}"
            index += 3
        else:
            ranges += re.escape(low)
            index += 1
    return f"[{'^' if negated else ''}{ranges}]", end + 1


def matches(patterns: Sequence[str], path: str) -> bool:
    """Return whether the patterns include a path or branch: the last pattern that matches decides; none means no."""
    for pattern in reversed(patterns):
        glob = compiled(pattern)
        if glob.matches(path):
            return not glob.excludes
    return False


class Paths:
    """Paths to match with many lists of patterns; sorted, so that only paths with the pattern's prefix are compared."""

    def __init__(self, paths: Iterable[str]) -> None:
        """Keep the distinct paths."""
        self._paths = sorted(set(paths))

    def any_included(self, patterns: Sequence[str]) -> bool:
        """Return whether the patterns include at least one of the paths."""
        for pattern in patterns:
            glob = compiled(pattern)
            if glob.excludes:
                continue
            for index in range(bisect_left(self._paths, glob.prefix), len(self._paths)):
                path = self._paths[index]
                if not path.startswith(glob.prefix):
                    break
                if glob.matches(path) and matches(patterns, path):
                    return True
        return False


def escape(text: str) -> str:
    """Return text with every special character of patterns escaped."""
    return "".join(f"\\{character}" if character in _SPECIAL else character for character in text)


def check_pattern(pattern: str) -> str:
    """Return a valid pattern, else raise ``ValueError``."""
    if _ALTERNATIVES.search(pattern) is not None:
        raise ValueError("has {…,…}, which stands for itself here; write a pattern for each, or \\{ for the character")
    compiled(pattern)
    return pattern


def check_branch_pattern(pattern: str) -> str:
    """Return a pattern that the name of a branch could match, else raise ``ValueError``."""
    check_pattern(pattern)
    _check_branch(_SET_OR_TEMPLATE.sub("x", pattern.removeprefix("!")))
    return pattern


def check_branch_name(name: str) -> str:
    """Return the whole name of a branch, else raise ``ValueError``."""
    if not _NEVER_IN_NAMES.isdisjoint(name):
        raise ValueError("has one of * ? [ \\, which names of branches never have; write one whole name")
    _check_branch(name)
    return name


def _check_branch(name: str) -> None:
    """Raise ``ValueError`` for what no branch is called (git, "git-check-ref-format")."""
    if name.startswith("refs/heads/"):
        raise ValueError("begins with refs/heads/, which names of branches do not have here; remove it")
    if _NEVER_IN_BRANCHES.search(name) is not None:
        raise ValueError("has white space, ~, ^ or :, which names of branches never have")
    if any(not segment or segment.startswith(".") for segment in name.split("/")):
        raise ValueError(
            "has an empty segment, or one that begins with a dot, which names of branches never have; * matches"
            " anything within a segment, ** any segments"
        )


def check_path_pattern(pattern: str) -> str:
    """Return a pattern that a path from the repository's root could match, else raise ``ValueError``."""
    segments = pattern.removeprefix("!").split("/")
    if len(segments) > 1:
        if segments[0] == "":
            raise ValueError("begins with a slash; write paths from the repository's root without one")
        if segments[-1] == "":
            raise ValueError("ends with a slash; append ** to match everything below")
        if {".", "..", ""} & set(segments):
            raise ValueError("has an empty segment, . or .., which never matches")
    return check_pattern(pattern)


def check_something_can_match(patterns: list[str]) -> list[str]:
    """Return patterns if one of them is not an exclusion, and none stands where it excludes nothing.

    Raises ``ValueError`` otherwise.
    """
    if all(pattern.startswith("!") for pattern in patterns):
        raise ValueError("has exclusions only and matches nothing; add '**' before them")
    if patterns[0].startswith("!"):
        raise ValueError("begins with an exclusion, which excludes nothing there: the last match decides")
    return patterns
