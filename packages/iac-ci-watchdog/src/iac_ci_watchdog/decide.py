"""What a look by the watchdog means: pure. What is known and the time in, one frozen decision out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from iac_ci_common import limits
from iac_ci_common.graph import Readiness, readiness
from iac_ci_common.states import OPEN, RUN_TERMINAL, TERMINAL, OrderState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from iac_ci_common.models.lock import Lock
    from iac_ci_common.models.rows import OrderRow, RunRow


class Action(StrEnum):
    """What the watchdog does about what it saw."""

    WAIT = "wait"
    END = "end"
    NUDGE = "nudge"
    REPORT_TIMED_OUT = "report_timed_out"
    REPORT_FAILED = "report_failed"
    PREPARE_AGAIN = "prepare_again"
    GIVE_UP = "give_up"


@dataclass(frozen=True, slots=True)
class Decision:
    """One action and, in plain words, what was seen."""

    action: Action
    seen: str


GIVE_UP_AFTER: Final = timedelta(seconds=limits.PREPARATION_SECONDS * limits.PREPARATION_ATTEMPTS)
"""Age at which an accepted job that still has no rows is given up."""

_GRACE: Final = timedelta(seconds=limits.STOP_GRACE_SECONDS)


def is_late(order: OrderRow, now: datetime) -> bool:
    """Return whether an order would have ended by now if its worker had started at once: then its claim is read."""
    return order.status in OPEN and order.dispatched_at is not None and now > _longest(order, order.dispatched_at)


def decide_order(
    order: OrderRow | None, *, has_result: bool, build_ended: bool, claimed_at: datetime | None = None, now: datetime
) -> Decision:
    """Decide about one order.

    ``claimed_at`` is when its worker began, as far as that is known. Without a claim an order waits for a worker, and
    may do so until its deadline: where the account's limits are used up, that may be long.
    ``build_ended`` must have been looked at before ``has_result``: a build writes its result before it ends, so one
    that had ended and left none will never leave one.
    """
    if order is None:
        return Decision(Action.END, "the order is gone")
    if order.status in TERMINAL:
        return Decision(Action.END, f"the order {order.status.value.replace('_', ' ')}")
    if has_result:
        # Not the end: until the row shows it, somebody must wake the orchestrator.
        return Decision(Action.NUDGE, "a result lies unprocessed")
    if build_ended:
        return Decision(Action.REPORT_FAILED, "the build ended and left no result")
    silent = order.status in OPEN and claimed_at is not None and now > _longest(order, claimed_at)
    over = order.status in OPEN and order.order_deadline is not None and now > order.order_deadline + _GRACE
    if silent or over:
        return Decision(Action.REPORT_TIMED_OUT, "the order's time is up and its worker did not report")
    return Decision(Action.WAIT, f"the order is {order.status.value}")


def _longest(order: OrderRow, since: datetime) -> datetime:
    """Say until when a worker that began at ``since`` has reported if it lives."""
    return since + timedelta(seconds=order.timeout + limits.WORKER_START_SECONDS) + _GRACE


def decide_run(
    run: RunRow, orders: Sequence[OrderRow], lock: Lock | None, reported: AbstractSet[str], now: datetime
) -> Decision:
    """Decide about a prepared run; ``reported`` are the numbers of orders whose result is in the bucket."""
    if lock is not None and lock.completed:
        return Decision(Action.END, f"the run {run.status.value.replace('_', ' ')}")
    undone = _undone(run, orders, reported, now)
    if undone is None and lock is not None and lock.comment_behind and run.report is not None and not lock.held(now):
        undone = "the comment does not tell the latest"
    return Decision(Action.NUDGE, undone) if undone else Decision(Action.WAIT, f"the run is {run.status.value}")


def _undone(run: RunRow, orders: Sequence[OrderRow], reported: AbstractSet[str], now: datetime) -> str | None:
    """Return what the orchestrator should have done by now; None if all is well."""
    if run.status in RUN_TERMINAL:
        return "the run ended and its finish is not complete"
    if all(order.status in TERMINAL for order in orders):
        return "every order has ended and the run has not"
    if any(order.status in OPEN and order.order_num in reported for order in orders):
        return "a result lies unprocessed"
    queued = [order for order in orders if order.status is OrderState.QUEUED]
    if queued and (run.preparation_error or run.cancel_reason or now >= run.deadline):
        return "orders are queued that can no longer start"
    return _undone_starts(run, orders, queued) or next(
        (late for order in orders if (late := _overdue(order, now)) is not None), None
    )


def _undone_starts(run: RunRow, orders: Sequence[OrderRow], queued: Sequence[OrderRow]) -> str | None:
    by_num = {order.order_num: order for order in orders}
    room = sum(order.status in OPEN for order in orders) < run.max_parallel
    for order in queued:
        state, _ = readiness(order, by_num)
        if state is Readiness.BLOCKED:
            return "an order can never start"
        if room and state is Readiness.READY:
            return "an order is ready and was not dispatched"
    return None


def _overdue(order: OrderRow, now: datetime) -> str | None:
    if order.status is OrderState.DISPATCHING and order.dispatched_at is not None:
        stale = now >= order.dispatched_at + timedelta(seconds=limits.LEASE_SECONDS)
        if stale and order.order_deadline is not None and now < order.order_deadline:
            return "a dispatch died half-way"
    if order.status in OPEN and order.order_deadline is not None and now > order.order_deadline + _GRACE:
        return "an order's time is up"
    return None


def decide_unprepared(accepted_at: datetime, deadline: datetime, now: datetime) -> Decision:
    """Decide about an accepted job that has no rows yet."""
    if now >= deadline or now - accepted_at >= GIVE_UP_AFTER:
        return Decision(Action.GIVE_UP, "the preparation of the run did not end")
    if now - accepted_at >= timedelta(seconds=limits.PREPARATION_SECONDS):
        return Decision(Action.PREPARE_AGAIN, "the preparation of the run is late")
    return Decision(Action.WAIT, "the run is being prepared")
