"""An announcement: what the engine puts on the stack's event bus about a run."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydantic import Field

from iac_ci_common.models.base import Moment, Name, OrderNum, RunId, StoredShape, TraceId
from iac_ci_common.models.changes import Changes
from iac_ci_common.models.saved_plan import ProjectKey
from iac_ci_common.states import OrderState, RunState

SOURCE: Final = "iac-ci"
"""``source`` of every event on the bus."""

MAX_TEXT_CHARS: Final = 512
"""Longest text, reason and name of an announcement. Ten announcements fit into one call of PutEvents, 256 KB, whatever
characters they have."""

MAX_SHORT_CHARS: Final = 256
"""Longest other field."""


class AnnouncementKind(StrEnum):
    """What an announcement is about; the event's ``detail-type``."""

    RUN_WAITS = "run_waits"
    RUN_ENDED = "run_ended"
    DRIFT_FOUND = "drift_found"
    DRIFT_GONE = "drift_gone"


class AnnouncedWait(StoredShape):
    """An order that waits for an approval."""

    order_num: OrderNum
    order_name: Name
    approvers: str = Field(max_length=MAX_TEXT_CHARS, description="Who may answer, in words.")
    until: Moment | None = Field(None, description="When the approval expires.")


class AnnouncedEnd(StoredShape):
    """The end of a run."""

    status: RunState
    reason: str | None = Field(None, max_length=MAX_TEXT_CHARS, description="Why it ended so, in plain words.")
    orders: dict[OrderState, int] = Field(description="How many orders ended in each state.")
    accepted_at: Moment
    finished_at: Moment


class AnnouncedProject(StoredShape):
    """A project whose drift was found, or is gone."""

    name: str = Field(max_length=MAX_TEXT_CHARS, description="The project's folder and workspace.")
    key: ProjectKey
    changes: Changes | None = Field(None, description="What an apply of the configuration would change.")


class Announcement(StoredShape):
    """The ``detail`` of an event on the stack's bus. It has no secret and no output of commands.

    Each kind has the part about its subject: ``run_waits`` has ``wait``, ``run_ended`` has ``end``, ``drift_found`` and
    ``drift_gone`` have ``project``. ``text`` is safe in JSON strings, HTML and chat messages; the other texts are as
    people have written them.
    """

    id: str = Field(
        max_length=MAX_SHORT_CHARS,
        description="The same each time the announcement is sent: receivers ignore an id that they know.",
    )
    kind: AnnouncementKind
    text: str = Field(max_length=MAX_TEXT_CHARS, description="The announcement in one line.")
    stack: str = Field(max_length=MAX_SHORT_CHARS)
    run_id: RunId
    trace_id: TraceId
    at: Moment = Field(description="When it happened.")
    job_name: str | None = Field(None, max_length=MAX_SHORT_CHARS)
    repository: str | None = Field(
        None, max_length=MAX_TEXT_CHARS, description="Repository of the run's code as `host/path`, in lower case."
    )
    branch: str | None = Field(None, max_length=MAX_SHORT_CHARS)
    pull_request: int | None = None
    commit: str | None = Field(None, max_length=MAX_SHORT_CHARS)
    actor: str | None = Field(None, max_length=MAX_SHORT_CHARS, description="Who started the run.")
    wait: AnnouncedWait | None = None
    end: AnnouncedEnd | None = None
    project: AnnouncedProject | None = None
