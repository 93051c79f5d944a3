"""The done marker: the object whose presence means that a run has ended."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.models.base import Moment, Name, OrderNum, RunId, StoredShape, TraceId
from iac_ci_common.states import OrderState, RunState


class DoneOrder(StoredShape):
    """The end of one order."""

    order_num: OrderNum
    order_name: Name
    status: OrderState
    exit_code: int | None = None
    changed: bool = Field(False, description="True if it succeeded with an exit code other than 0 of a command.")
    attempts: int = Field(1, ge=1, description="Attempts that were made; 1 for an order that never started.")
    reason: str | None = None
    by: str | None = Field(None, description="Person who approved or rejected the order, None if none is known.")


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
