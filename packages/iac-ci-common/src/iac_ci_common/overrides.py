"""Approvals that let a run continue although orders before them have failed: pure.

The failed order keeps its state. The approval succeeds by itself if there is nothing to override; otherwise it waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iac_ci_common.states import OrderState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from iac_ci_common.models.rows import OrderRow

FAILURES: Final = frozenset({OrderState.FAILED, OrderState.TIMED_OUT})
"""Ends of an order after which others may continue, if the job allows it."""


def overridable(order: OrderRow, by_num: Mapping[str, OrderRow]) -> frozenset[str]:
    """Return the numbers of the orders whose failure does not by itself keep an order from starting.

    They are those that the order overrides, and those that an approval among its dependencies overrides. There that
    approval decides, which must succeed too.
    """
    own = order.approval.overrides if order.approval is not None else ()
    before = [by_num[num].approval for num in order.dependencies if num in by_num]
    return frozenset(own).union(*(approval.overrides for approval in before if approval is not None))


def failures_to_override(order: OrderRow, by_num: Mapping[str, OrderRow]) -> list[OrderRow]:
    """Return the orders that have failed or timed out of those that an approval overrides."""
    numbers = order.approval.overrides if order.approval is not None else ()
    return [by_num[num] for num in numbers if num in by_num and by_num[num].status in FAILURES]


def has_nothing_to_override(order: OrderRow, by_num: Mapping[str, OrderRow]) -> bool:
    """Return whether an approval overrides orders and all of them have succeeded, so that nobody is asked."""
    numbers = order.approval.overrides if order.approval is not None else ()
    states = [by_num[num].status if num in by_num else None for num in numbers]
    return bool(states) and all(state is OrderState.SUCCEEDED for state in states)


def overridden(orders: Iterable[OrderRow]) -> dict[str, OrderRow]:
    """Return the approval that has overridden each failed order, by the failed order's number."""
    by_num = {order.order_num: order for order in orders}
    return dict(_overridden(by_num))


def _overridden(by_num: Mapping[str, OrderRow]) -> Iterator[tuple[str, OrderRow]]:
    for order in by_num.values():
        if order.approval_answer is not None and order.status is OrderState.SUCCEEDED:
            for failed in failures_to_override(order, by_num):
                yield failed.order_num, order


def unsuccessful(orders: Sequence[OrderRow]) -> list[OrderRow]:
    """Return the orders that did not succeed and that no approval has overridden."""
    by_approval = overridden(orders)
    return [row for row in orders if row.status is not OrderState.SUCCEEDED and row.order_num not in by_approval]
