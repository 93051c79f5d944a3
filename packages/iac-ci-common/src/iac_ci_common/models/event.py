"""One line of a run's story."""

from __future__ import annotations

from iac_ci_common.ids import JOB_EVENT_NAME
from iac_ci_common.keys import event_sort
from iac_ci_common.models.base import Moment, OrderNum, RunId, StoredShape, TraceId


class Event(StoredShape):
    """Something that happened to an order, or (``order_name`` is ``_job``) to the run.

    ``kind`` is the state entered, or for the run also ``accepted``, ``prepared``, ``preparation_failed``,
    ``comment_failed``, ``status_failed``, ``nudged``.
    """

    trace_id: TraceId
    run_id: RunId
    order_num: OrderNum
    order_name: str = JOB_EVENT_NAME
    kind: str
    at: Moment
    reason: str | None = None
    expires_at: Moment

    @property
    def epoch_ms(self) -> int:
        """Milliseconds since 1970, the index's sort key."""
        return int(self.at.timestamp() * 1000)

    @property
    def sort(self) -> str:
        """The event's sort key."""
        return event_sort(self.order_name, self.epoch_ms, self.kind)
