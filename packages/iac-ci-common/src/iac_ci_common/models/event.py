"""An event of a run's history."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from iac_ci_common.ids import JOB_EVENT_NAME
from iac_ci_common.keys import event_sort
from iac_ci_common.models.base import Moment, OrderNum, RunId, StoredShape, TraceId
from iac_ci_common.states import OrderState, RunState

JOB_KINDS: Final = frozenset(
    {"accepted", "preparation_failed", "comment_failed", "status_failed", "nudged"}
    | {state.value for state in RunState}
)
"""Kinds of events of the whole run."""


ORDER_KINDS: Final = frozenset({"ticket_refused"} | {state.value for state in OrderState})
"""Kinds of events of an order."""


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
    plan_sha256: str | None = Field(None, description="SHA-256 of the plan that the order saved or applies.")
    expires_at: Moment

    @property
    def epoch_ms(self) -> int:
        """Return the milliseconds since 1970, the index's sort key."""
        return int(self.at.timestamp() * 1000)

    @property
    def sort(self) -> str:
        """Return the event's sort key."""
        return event_sort(self.order_name, self.epoch_ms, self.kind)
