"""Events of code hosts, in one model for all hosts.

An event only says what to check. When it is processed, the engine reads the pull request, the comment and the person's
permissions from the host, because they may have changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from iac_ci_common.models.base import Moment, Name, RunId, StoredShape
from iac_ci_common.models.saved_plan import Replan
from iac_ci_triggers.verification import Sender

Line = Annotated[str, StringConstraints(max_length=1024, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A line without control characters."""

CommitSha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]


CommitPrefix = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{7,64}$")]
"""A commit's hash, or its first digits."""

MAX_CHANGED: Final = 10_000
"""Most changed paths in an event."""


MAX_COMMENT_CHARS: Final = 262_144
"""Most characters of a comment in an event; GitLab sends up to a million, of which the first count."""


class EventKind(StrEnum):
    """The kind of an event."""

    PULL_REQUEST = "pull_request"
    """A pull request was opened, reopened, marked ready, got another base branch or label, or has new commits."""

    CLOSED = "closed"
    """A pull request was merged or declined."""

    COMMENT = "comment"
    """A new comment on a pull request; edits and deletions are not events."""

    PUSH = "push"
    """A push to a branch."""

    SCHEDULE = "schedule"
    """A planned minute of a schedule has come; the engine's own tick makes this event."""

    MERGE_GROUP = "merge_group"
    """A merge queue asks for the checks of a commit that it has made."""

    REPLAN = "replan"
    """An apply has made a plan of the pull request stale; no host sends this event."""


class Person(StoredShape):
    """The account of the event: the host's permanent ``id``, and its login name."""

    id: Line
    login: Line


class HostEvent(StoredShape):
    """A verified event that may start something.

    ``repository`` is the URL ``https://host/path`` in the payload. ``number`` is the pull request's (GitLab: the merge
    request's ``iid``), None for pushes; ``reopened`` says that it was closed before. ``sha`` is the pull request's
    head, if the payload has it, or the pushed commit. ``branch`` is the pushed branch or the merge queue's, without
    ``refs/heads/``; ``base_branch`` is the branch that the queue or the pull request merges into. ``changed`` are a
    push's changed paths, None if the payload does not have all of them. ``head`` is the pull request's head as the
    payload writes it, on Bitbucket abbreviated; ``before`` is the one before it, ``updated_at`` the time of the change.
    They tell whether the host's API knows the change already. ``replan`` is the plan of an event of that kind.
    ``job`` and ``planned_for`` are those of a schedule.
    """

    host: Sender
    kind: EventKind
    repository: Line
    actor: Person
    number: Annotated[int, Field(gt=0)] | None = None
    reopened: bool = False
    sha: CommitSha | None = None
    branch: Annotated[Line, Field(min_length=1)] | None = None
    base_branch: Annotated[Line, Field(min_length=1)] | None = None
    head: CommitPrefix | None = None
    before: CommitSha | None = None
    updated_at: Moment | None = None
    changed: Annotated[tuple[str, ...], Field(max_length=MAX_CHANGED)] | None = None
    job: Name | None = None
    planned_for: Moment | None = None
    comment_id: Line | None = None
    comment: Annotated[str, StringConstraints(max_length=MAX_COMMENT_CHARS)] | None = None
    replan: Replan | None = None


class StoredTrigger(StoredShape):
    """A verified event, stored until it is processed."""

    trigger_id: RunId
    received_at: Moment
    event: HostEvent


@dataclass(frozen=True, slots=True)
class Ignored:
    """A verified event that starts nothing, with the reason."""

    reason: str


__all__ = [
    "MAX_CHANGED",
    "MAX_COMMENT_CHARS",
    "CommitSha",
    "EventKind",
    "HostEvent",
    "Ignored",
    "Line",
    "Person",
    "StoredTrigger",
]
