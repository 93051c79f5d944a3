"""Texts about an order's progress, for people: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.graph import Readiness, readiness
from iac_ci_common.states import TERMINAL, OrderState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iac_ci_common.models.rows import OrderRow


def waits_for(order: OrderRow, by_num: Mapping[str, OrderRow]) -> str:
    """Return what an order waits for or why it ended; empty if there is no reason."""
    if order.status is not OrderState.QUEUED:
        # Before its end an order has a reason only while AWS starts no worker for it.
        return order.reason or ""
    if order.waiting_for is not None:
        return order.waiting_for
    if readiness(order, by_num)[0] is Readiness.READY:
        return "a free worker" if order.approval is None else "an approval"
    unfinished = [by_num[num].order_name for num in order.dependencies if num in by_num and not by_num[num].ended_at]
    return ", ".join(unfinished[:5]) + (f" and {len(unfinished) - 5} more" if len(unfinished) > 5 else "")


def state_words(order: OrderRow) -> str:
    """Return an order's state with its attributes: ``succeeded, changed``, ``running, attempt 2 of 3``."""
    words = [order.status.value]
    if order.attempt > 1:
        words.append(f"attempt {order.attempt} of {order.attempts}")
    if order.changed:
        words.append("changed")
    if order.not_needed:
        words.append("not needed")
    return ", ".join(words)


def duration(order: OrderRow) -> str:
    """Return how long an order ran, as ``4.2 s`` or ``3 min 5 s``; empty if it has no start or no end."""
    if order.started_at is None or order.ended_at is None:
        return ""
    seconds = (order.ended_at - order.started_at).total_seconds()
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def did_not_succeed(orders: Sequence[OrderRow]) -> list[OrderRow]:
    """Return the orders that ran and did not succeed: their logs are shown."""
    return [
        order
        for order in orders
        if order.status in TERMINAL and order.status is not OrderState.SUCCEEDED and order.started_at is not None
    ]
