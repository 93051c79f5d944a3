"""Patterns of paths and branches, as in ``.gitignore`` and GitHub Actions, in time linear to the path.

``*`` stands for anything within a segment, ``?`` for one character of it, ``[a-z]`` and ``[!a-z]`` for one of a set,
``**`` between slashes for any number of segments (at the end: at least one). A backslash takes the next character as it
is. A pattern that begins with ``!`` takes back what patterns before it matched: the last one that matches decides.
Case counts, and a leading dot is a character like others. A pattern is for the whole path from the root.
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


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern made ready. ``prefix`` is the text that every match begins with, for telling most paths off at once."""

    excludes: bool
    prefix: str
    chunks: tuple[tuple[re.Pattern[str], ...], ...]
    """Segments between ``**``; the first is bound to the beginning, the last to the end, each may be empty."""

    def matches(self, path: str) -> bool:
        """Return whether the pattern matches, whichever way it counts."""
        if not path.startswith(self.prefix):
            return False
        segments = path.split("/")
        first, last = self.chunks[0], self.chunks[-1]
        if len(self.chunks) == 1:
            return len(segments) == len(first) and _fits(first, segments, 0)
        # `**` at the end needs a segment to stand for; elsewhere it may stand for none.
        end = len(segments) - (len(last) or 1)
        if end < len(first) or not _fits(first, segments, 0):
            return False
        if last and not _fits(last, segments, end):
            return False
        # Between two `**` the first place that fits is as good as any later one: what follows has most room.
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
    """Read a pattern; raises ``ValueError`` with what is wrong with it."""
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
    # Several `**` in a row say no more than one, but for the segment that one at the end needs.
    inner = [part for part in chunks[1:-1] if part]
    return Glob(excludes, _prefix(body), (chunks[0], *inner, chunks[-1]) if len(chunks) > 1 else (chunks[0],))


def _prefix(body: str) -> str:
    for index, character in enumerate(body):
        if character in _SPECIAL:
            return body[:index]
    return body


def _segment(segment: str) -> re.Pattern[str]:
    """Translate what stands between two slashes.

    Every part between stars has a fixed length, so the first place where it fits is as good as any later one: atomic
    groups take it and never come back, which is what keeps this from growing with every further star.
    """
    if "**" in segment.replace("\\\\", "").replace("\\*", ""):
        raise ValueError("has ** beside other characters: ** stands alone between slashes, as in **/*.tf")
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
    """Translate what stands behind ``[``; give it and the place behind ``]``."""
    end = segment.find("]", at + (2 if segment[at : at + 1] in {"!", "^"} else 1))
    if end == -1:
        raise ValueError("has a [ without its ] in the same segment; write \\[ for the character")
    content = segment[at:end]
    negated = content[0] in "!^"
    content = content[1:] if negated else content
    ranges = ""
    place = 0
    while place < len(content):
        low = content[place]
        if content[place + 1 : place + 2] == "-" and place + 2 < len(content):
            high = content[place + 2]
            if high < low:
                raise ValueError(f"has the empty range {low}-{high}")
            ranges += f"{re.escape(low)}-{re.escape(high)}"
            place += 3
        else:
            ranges += re.escape(low)
            place += 1
    return f"[{'^' if negated else ''}{ranges}]", end + 1


def matches(patterns: Sequence[str], path: str) -> bool:
    """Return whether a path or branch is meant by the patterns: the last that matches decides, none means no."""
    for pattern in reversed(patterns):
        glob = compiled(pattern)
        if glob.matches(path):
            return not glob.excludes
    return False


class Paths:
    """Paths that many lists of patterns are asked about; sorted, so that a pattern looks only where its text begins."""

    def __init__(self, paths: Iterable[str]) -> None:
        """Keep each path once."""
        self._paths = sorted(set(paths))

    def any_meant(self, patterns: Sequence[str]) -> bool:
        """Return whether at least one of the paths is meant by the patterns."""
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
    """Write text so that a pattern takes every character of it as it is."""
    return "".join(f"\\{character}" if character in _SPECIAL else character for character in text)


def check_pattern(pattern: str) -> str:
    """Return a pattern that can be read, else raise ``ValueError``."""
    compiled(pattern)
    return pattern


def check_path_pattern(pattern: str) -> str:
    """Return a pattern that a path from the repository's root could match, else raise ``ValueError``."""
    segments = pattern.removeprefix("!").split("/")
    if len(segments) > 1:
        if segments[0] == "":
            raise ValueError("begins with a slash; paths begin at the repository's root without one")
        if segments[-1] == "":
            raise ValueError("ends with a slash; put ** behind it for all that lies below")
        if {".", "..", ""} & set(segments):
            raise ValueError("has an empty segment, . or .., which no path has")
    return check_pattern(pattern)


def check_something_can_match(patterns: list[str]) -> list[str]:
    """Return patterns of which one is no exclusion, else raise ``ValueError``."""
    if all(pattern.startswith("!") for pattern in patterns):
        raise ValueError("holds exclusions only, so nothing could match; put '**' before them")
    return patterns
