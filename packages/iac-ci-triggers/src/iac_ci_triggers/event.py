"""What a code host told, in the engine's words, whichever host it was.

An event is a hint, never a fact to act upon: it says where to look. What a pull request, a comment or a person's rights
are is asked of the host when the event is worked on, for by then they may have changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from iac_ci_common.models.base import Moment, RunId, StoredShape
from iac_ci_triggers.verification import Sender

Line = Annotated[str, StringConstraints(max_length=1024, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A line without control characters."""

CommitSha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]


MAX_CHANGED: Final = 10_000
"""Most changed paths that an event carries."""


class EventKind(StrEnum):
    """What happened."""

    PULL_REQUEST = "pull_request"
    """A pull request was opened, reopened, marked ready, aimed at another branch, or has new commits."""

    CLOSED = "closed"
    """A pull request was merged or declined."""

    COMMENT = "comment"
    """Somebody wrote a new comment on a pull request; edits and deletions are no events."""

    PUSH = "push"
    """A branch moved."""


class Person(StoredShape):
    """The account that acted: the host's unchanging ``id``, and the name it goes by."""

    id: Line
    login: Line


class HostEvent(StoredShape):
    """A verified event that may start something.

    ``repository`` is its ``https://host/path`` address as the payload tells. ``number`` is the pull request's
    (GitLab: the merge request's ``iid``) for all kinds but pushes; ``sha`` the pull request's head, if the payload
    tells it, or the commit that was pushed; ``branch`` the branch pushed to, without ``refs/heads/``. ``changed`` are a
    push's changed paths; None where the payload does not tell all of them.
    """

    host: Sender
    kind: EventKind
    repository: Line
    actor: Person
    number: Annotated[int, Field(gt=0)] | None = None
    sha: CommitSha | None = None
    branch: Annotated[Line, Field(min_length=1)] | None = None
    changed: Annotated[tuple[str, ...], Field(max_length=MAX_CHANGED)] | None = None
    comment_id: Line | None = None
    comment: Annotated[str, StringConstraints(max_length=262_144)] | None = None


class StoredTrigger(StoredShape):
    """A verified event, as it is kept until it is worked on."""

    trigger_id: RunId
    received_at: Moment
    event: HostEvent


@dataclass(frozen=True, slots=True)
class Ignored:
    """A genuine event that asks for nothing, and why."""

    reason: str


__all__ = ["MAX_CHANGED", "CommitSha", "EventKind", "HostEvent", "Ignored", "Line", "Person", "StoredTrigger"]
