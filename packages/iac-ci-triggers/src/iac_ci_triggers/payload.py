"""Reads single fields of a host's payload, whose content is not trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from iac_ci_triggers.event import MAX_CHANGED, MAX_COMMENT_CHARS
from iac_ci_vcs.provider import GHOST, moment_of

if TYPE_CHECKING:
    from datetime import datetime

T = TypeVar("T")

_MOST_FILES_OF_COMMIT: Final = 3000
"""Most changed files that GitHub reports of a commit in a push (GitHub Docs, "Webhook events and payloads")."""

ZERO: Final = frozenset({"0" * 40, "0" * 64})
"""Hashes that hosts send for a missing commit."""


class FieldMissing(Exception):
    """A field is missing or has another type than the host documents."""

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
        # In Python a bool is an int, but not in a host's payload.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise FieldMissing(path)
        return value

    def find(self, path: str, kind: type[T]) -> T | None:
        """Return a field of that type, None if it is missing or has another type."""
        try:
            return self.get(path, kind)
        except FieldMissing:
            return None

    def pushed_paths(self, total: int | None) -> tuple[str, ...] | None:
        """Return the paths that a push's ``total`` commits change, None if the payload does not have all of them.

        A push to a new branch, or a push that removes commits, changes more paths than its commits list.
        """
        commits = self.find("commits", list)
        before = self.find("before", str)
        forced = self.find("forced", bool) or self.find("created", bool)
        if not commits or before is None or before in ZERO or forced or total != len(commits):
            return None
        paths: dict[str, None] = {}
        for commit in commits:
            reported = 0
            for kind in ("added", "modified", "removed"):
                listed = Payload(commit).find(kind, list)
                if listed is None or not all(isinstance(path, str) for path in listed):
                    return None
                reported += len(listed)
                paths.update(dict.fromkeys(listed))
            if reported >= _MOST_FILES_OF_COMMIT:
                return None
        return tuple(paths) if len(paths) <= MAX_CHANGED else None

    def moment(self, path: str) -> datetime | None:
        """Return a moment, as ISO 8601 or as older versions of GitLab write it; None if the field has none."""
        text = self.find(path, str)
        return None if text is None else moment_of(text.replace(" UTC", "+00:00", 1))

    def commit(self, path: str) -> str | None:
        """Return a commit's full hash, None if the field has none."""
        sha = self.find(path, str)
        return None if not sha or sha in ZERO else sha

    def account(self, path: str, identity: str, login: str) -> dict[str, str]:
        """Return the account at a path by its fields ``identity`` and ``login``.

        Hosts send none for an account that was deleted, which is the ghost here, and older versions of GitLab no id.
        Raises ``FieldMissing`` for a field of another type.
        """
        if self.find(path, object) is None:
            return {"id": GHOST.id, "login": GHOST.login}
        number = None if self.find(f"{path}.{identity}", object) is None else self.get(f"{path}.{identity}", int)
        return {"id": "" if number is None else str(number), "login": self.get(f"{path}.{login}", str)}

    def text(self, path: str) -> str:
        """Return the text of a comment, at most ``MAX_COMMENT_CHARS`` of it; empty if there is none."""
        return (self.find(path, str) or "")[:MAX_COMMENT_CHARS]
