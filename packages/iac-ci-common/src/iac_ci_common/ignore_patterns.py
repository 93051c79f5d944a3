"""Patterns of files that are ignored, read as git reads those of ``.gitignore`` (gitignore(5)).

They are matched in time linear in the path, because repositories write them. Classes such as ``[:alpha:]`` are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iac_ci_common.globs import compiled

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable

    from iac_ci_common.globs import Glob


class NoPattern(ValueError):
    """A line is no pattern; the text says why."""


@dataclass(frozen=True, slots=True)
class IgnorePattern:
    """One pattern, for paths from the folder of its file."""

    includes_again: bool
    folders_only: bool
    name: re.Pattern[str] | None
    """What the last part of a path must match, for a pattern without a slash."""

    path: Glob | None

    @classmethod
    def parse(cls, line: str) -> IgnorePattern | None:
        """Return the pattern of a line, None of a line that has none; raise ``NoPattern``."""
        text = _without_trailing_spaces(line.removesuffix("\r"))
        if not text or text.startswith("#"):
            return None
        includes_again = text.startswith("!")
        body = text[1:] if includes_again else text
        if not body:
            raise NoPattern("is empty")
        if "[:" in body:
            raise NoPattern("has a class like [:alpha:]; write its characters, as in [a-z]")
        folders_only = body.endswith("/")
        body = body.removesuffix("/")
        from_root = "/" in body
        segments = [_segment(segment, alone=not from_root) for segment in body.removeprefix("/").split("/")]
        if "" in segments:
            return None  # as in git, nothing has an empty name
        if segments[0].startswith("!"):
            segments[0] = f"\\{segments[0]}"
        try:
            glob = compiled("/".join(segments))
        except ValueError as error:
            raise NoPattern(str(error)) from None
        if from_root:
            return cls(includes_again, folders_only, None, glob)
        return cls(includes_again, folders_only, glob.chunks[0][0], None)

    def matches(self, path: str, name: str, *, is_folder: bool) -> bool:
        """Return whether the pattern matches a path, which ends with ``name``."""
        if self.folders_only and not is_folder:
            return False
        if self.name is not None:
            return self.name.fullmatch(name) is not None
        return self.path is not None and self.path.matches(path)


class IgnorePatterns:
    """The patterns of one file."""

    def __init__(self, patterns: Iterable[IgnorePattern] = ()) -> None:
        """Keep the patterns; of those that match, the last one counts."""
        self._patterns = tuple(reversed(list(patterns)))

    def __bool__(self) -> bool:
        """Return whether there are patterns."""
        return bool(self._patterns)

    def decide(self, path: str) -> bool | None:
        """Return whether a path is ignored, None if no pattern matches it; a folder's path ends with a slash.

        The folders above it are not looked at: what is below an ignored one is ignored too.
        """
        is_folder = path.endswith("/")
        plain = path.rstrip("/")
        name = plain.rpartition("/")[2]
        for pattern in self._patterns:
            if pattern.matches(plain, name, is_folder=is_folder):
                return not pattern.includes_again
        return None


def _segment(segment: str, *, alone: bool) -> str:
    """Return a part of a path with stars that ``globs`` reads: two of them only where they mean folders."""
    if segment == "**" and not alone:
        return segment
    kept: list[str] = []
    escaped = False
    for character in segment:
        if character == "*" and kept and kept[-1] == "*" and not escaped:
            continue
        kept.append(f"\\{character}" if escaped else character)
        escaped = character == "\\" and not escaped
        if escaped:
            kept.pop()
    return "".join(kept) + ("\\" if escaped else "")


def _without_trailing_spaces(line: str) -> str:
    """Return a line without the spaces at its end that no backslash escapes."""
    stripped = line.rstrip(" ")
    backslashes = len(stripped) - len(stripped.rstrip("\\"))
    return stripped + " " if backslashes % 2 and len(stripped) < len(line) else stripped


__all__ = ["IgnorePattern", "IgnorePatterns", "NoPattern"]
