"""Events of orders: pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from iac_ci_common.limits import EVENT_RETENTION_SECONDS
from iac_ci_common.models.event import Event

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.rows import OrderRow, RunRow


def order_event(run: RunRow, order: OrderRow, at: datetime) -> Event:
    """Return the event that an order entered its state at ``at``."""
    return Event(
        trace_id=run.trace_id,
        run_id=run.run_id,
        order_num=order.order_num,
        order_name=order.order_name,
        kind=order.status.value,
        at=at,
        reason=f"waits for {order.waiting_for}" if order.waiting_for is not None else order.reason,
        changed=order.changed,
        attempt=order.attempt,
        by=order.approval_answer.by if order.approval_answer is not None else None,
        plan_sha256=order.plan_sha256,
        expires_at=at + timedelta(seconds=EVENT_RETENTION_SECONDS),
    )


def waiting_event(run: RunRow, order: OrderRow, at: datetime) -> Event:
    """Return the event that a queued order began to wait for something other than its dependencies."""
    return order_event(run, order, at).model_copy(update={"kind": "waiting", "reason": order.waiting_for})
