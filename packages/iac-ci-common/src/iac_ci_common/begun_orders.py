"""What people see of orders that workers have claimed, and whose rows do not say yet that they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common import keys
from iac_ci_common.states import OrderState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import Objects


def as_begun(objects: Objects, orders: Iterable[OrderRow]) -> tuple[OrderRow, ...]:
    """Return the orders, those as running that are ``dispatching`` and claimed; list their claims if there are any.

    A pass that has nothing else to write after it has started a worker does not write ``running``; the watchdog does
    later. ``objects`` is the internal bucket; its errors are raised.
    """
    orders = tuple(orders)
    run_id = next((order.run_id for order in orders if order.status is OrderState.DISPATCHING), None)
    if run_id is None:
        return orders
    stored = frozenset(objects.list(keys.callbacks(run_id)))
    return tuple(_running(order) if _has_begun(order, stored) else order for order in orders)


def _has_begun(order: OrderRow, stored: frozenset[str]) -> bool:
    return order.status is OrderState.DISPATCHING and keys.claim(*order.attempt_key) in stored


def _running(order: OrderRow) -> OrderRow:
    return order.model_copy(update={"status": OrderState.RUNNING, "started_at": order.dispatched_at, "reason": None})
