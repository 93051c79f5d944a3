"""Checks of planned transitions, common to every adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import IllegalTransition
from iac_ci_common.models.rows import OrderRow, RunRow
from iac_ci_common.states import OrderState, check_order_transition, check_run_transition

if TYPE_CHECKING:
    from iac_ci_common.ports import Transition

_KEPT: Final = frozenset({OrderState.DISPATCHING, OrderState.QUEUED})


def check_transition(transition: Transition) -> None:
    """Raise ``IllegalTransition`` unless the state table allows the transition and both rows are the same order.

    Two transitions keep their state: the repeated dispatch of an order that stayed ``dispatching``, and what a queued
    order waits for.
    """
    before, after = transition.before, transition.after
    if (before.run_id, before.order_num) != (after.run_id, after.order_num):
        raise IllegalTransition("a transition cannot change the row", run_id=before.run_id, order_num=before.order_num)
    if isinstance(before, RunRow) and isinstance(after, RunRow):
        check_run_transition(before.status, after.status)
    elif isinstance(before, OrderRow) and isinstance(after, OrderRow):
        if before.status is after.status and after.status in _KEPT:
            return
        check_order_transition(before.status, after.status)
    else:
        raise IllegalTransition(
            "a transition cannot change a run into an order", run_id=before.run_id, order_num=before.order_num
        )


def holds(transition: Transition, current: OrderRow | RunRow) -> bool:
    """Return whether the row has the status of ``transition.before``.

    An order must also have its attempt and dispatch and, if it is queued, what it waits for and how often it was queued
    again: a worker may have had it since.
    """
    before = transition.before
    if isinstance(before, OrderRow) and isinstance(current, OrderRow):
        same_dispatch = (current.attempt, current.dispatched_at) == (before.attempt, before.dispatched_at)
        same_wait = (current.waiting_for, current.handed_over) == (before.waiting_for, before.handed_over)
        is_same = same_dispatch and (same_wait or before.status is not OrderState.QUEUED)
        return current.status is before.status and is_same
    return current.status == transition.before.status
