"""An event of a run's history."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from iac_ci_common.ids import DRIFT_EVENT_NAME, JOB_EVENT_NAME
from iac_ci_common.keys import event_sort, job_day
from iac_ci_common.models.base import Moment, OrderNum, RunId, StoredShape, TraceId
from iac_ci_common.models.changes import Changes
from iac_ci_common.models.saved_plan import ProjectKey
from iac_ci_common.states import OrderState, RunState

DRIFT: Final = "drift"
NO_DRIFT: Final = "no_drift"
"""Kinds of events about what a drift run found of a project; their ``order_name`` is ``_drift``."""

JOB_KINDS: Final = frozenset(
    {
        "accepted",
        "preparation_failed",
        "comment_failed",
        "status_failed",
        "replan_failed",
        "nudged",
        "group_freed",
        "left_out",
        "issue_failed",
        "drift_unknown",
        "announcement_failed",
        "merged",
        "not_merged",
    }
    | {state.value for state in RunState}
)
"""Kinds of events of the whole run."""


MAX_PROJECT_CHARS: Final = 32_768
"""Most characters that the names of an event's projects have together; the others are counted."""

ORDER_KINDS: Final = frozenset(
    {"ticket_refused", "waiting", "group_freed", DRIFT, NO_DRIFT} | {state.value for state in OrderState}
)
"""Kinds of events of an order."""


class FoundProject(StoredShape):
    """What a drift run found of one project."""

    repository: str
    name: str
    key: ProjectKey
    commit: str | None = None
    changes: Changes | None = Field(None, description="What an apply of the configuration would change.")
    issue: int | None = Field(None, description="Number of the issue about it.")
    note: str | None = Field(None, max_length=512, description="Why there is no issue, in plain words.")


class Event(StoredShape):
    """An event of an order, or of the run (``order_name`` is ``_job``).

    ``kind`` is one of ``ORDER_KINDS`` for an order, one of ``JOB_KINDS`` for the run. A newer version may write others.
    """

    trace_id: TraceId
    run_id: RunId
    order_num: OrderNum
    order_name: str = JOB_EVENT_NAME
    kind: str
    at: Moment
    reason: str | None = None
    changed: bool = Field(False, description="True if the order succeeded and is `changed`.")
    attempt: int = Field(1, ge=1, description="Attempt of the order that the event is about.")
    by: str | None = Field(None, description="Person who approved or rejected the order, None if none is known.")
    plan_sha256: str | None = Field(None, description="SHA-256 of the plan that the order saved or applies.")
    job_name: str | None = Field(
        None, description="Job of the run; None in an event of an order, and in one that a version before wrote."
    )
    repository: str | None = Field(None, description="Repository of the run's code as `host/path`, in lower case.")
    branch: str | None = Field(None, description="Branch of the pull request or push; None for a signed job.")
    pull_request: int | None = None
    actor: str | None = Field(None, description="Who started the run.")
    projects: tuple[str, ...] = Field(
        (), description="Projects that the run plans or applies; only in the event `accepted`."
    )
    projects_left_out: int = Field(0, ge=0, description="How many further projects are not in `projects`.")
    project: FoundProject | None = Field(None, description="What a drift run found of a project.")
    expires_at: Moment

    @property
    def epoch_ms(self) -> int:
        """Return the milliseconds since 1970, the index's sort key."""
        return int(self.at.timestamp() * 1000)

    @property
    def sort(self) -> str:
        """Return the event's sort key."""
        if self.order_name == DRIFT_EVENT_NAME:
            # Several projects may have been planned within one millisecond.
            return event_sort(f"{self.order_name}:{self.order_num}", self.epoch_ms, self.kind)
        return event_sort(self.order_name, self.epoch_ms, self.kind, self.attempt)

    @property
    def job_day(self) -> str | None:
        """Return the key under which the index of runs lists the event; None for an event of an order."""
        return job_day(self.at.date()) if self.order_name == JOB_EVENT_NAME else None
