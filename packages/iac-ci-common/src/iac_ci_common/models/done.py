"""The done marker: the object whose presence means that a run has ended."""

from __future__ import annotations

from iac_ci_common.models.base import Moment, Name, OrderNum, RunId, StoredShape, TraceId
from iac_ci_common.states import OrderState, RunState


class DoneOrder(StoredShape):
    """The end of one order."""

    order_num: OrderNum
    order_name: Name
    status: OrderState
    exit_code: int | None = None
    reason: str | None = None


class DoneMarker(StoredShape):
    """Status and summary of an ended run, written once as ``<run_id>/done`` in the done bucket."""

    run_id: RunId
    trace_id: TraceId
    flow_id: str
    status: RunState
    reason: str | None = None
    summary: dict[OrderState, int]
    orders: tuple[DoneOrder, ...]
    accepted_at: Moment
    finished_at: Moment
