"""Reads single fields of a host's payload, which may hold anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeVar

from iac_ci_triggers.event import MAX_CHANGED

T = TypeVar("T")

ZERO: Final = frozenset({"0" * 40, "0" * 64})
"""What hosts write for no commit."""


class FieldMissing(Exception):
    """A field is not there, or not what the host's documentation says."""

    def __init__(self, path: str) -> None:
        """Keep the field's path in the payload."""
        super().__init__(path)
        self.path = path


@dataclass(frozen=True, slots=True)
class Payload:
    """A parsed payload, read by paths such as ``pull_request.head.sha``."""

    content: Any

    def get(self, path: str, kind: type[T]) -> T:
        """Return a field of exactly that type; raise ``FieldMissing`` for any other."""
        value = self.content
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        # A bool is an int to Python and none to a host.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise FieldMissing(path)
        return value

    def find(self, path: str, kind: type[T]) -> T | None:
        """Return a field of that type, None for any other."""
        try:
            return self.get(path, kind)
        except FieldMissing:
            return None

    def pushed_paths(self, total: int | None) -> tuple[str, ...] | None:
        """Return what a push's commits touch, ``total`` of them; None where not all of it is told.

        A push onto a new branch, or one that takes commits away, changes more than its commits say.
        """
        commits = self.find("commits", list)
        before = self.find("before", str)
        forced = self.find("forced", bool) or self.find("created", bool)
        if not commits or before is None or before in ZERO or forced or total != len(commits):
            return None
        paths: dict[str, None] = {}
        for commit in commits:
            for kind in ("added", "modified", "removed"):
                named = Payload(commit).find(kind, list)
                if named is None or not all(isinstance(path, str) for path in named):
                    return None
                paths.update(dict.fromkeys(named))
        return tuple(paths) if len(paths) <= MAX_CHANGED else None

    def commit(self, path: str) -> str | None:
        """Return a commit's full hash; None where the field tells none."""
        sha = self.find(path, str)
        return None if sha is None or sha in ZERO else sha
