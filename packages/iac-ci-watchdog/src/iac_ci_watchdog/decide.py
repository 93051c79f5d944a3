"""Decides what the watchdog does: pure. Returns one frozen decision for the known state and the time."""

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
    """The actions of the watchdog."""

    WAIT = "wait"
    END = "end"
    NUDGE = "nudge"
    REPORT_TIMED_OUT = "report_timed_out"
    REPORT_FAILED = "report_failed"
    PREPARE_AGAIN = "prepare_again"
    GIVE_UP = "give_up"


@dataclass(frozen=True, slots=True)
class Decision:
    """One action and its reason, in plain words (``seen``)."""

    action: Action
    seen: str


GIVE_UP_AFTER: Final = timedelta(seconds=limits.PREPARATION_SECONDS * limits.PREPARATION_ATTEMPTS)
"""Age at which the watchdog ends an accepted job that has no rows."""

_GRACE: Final = timedelta(seconds=limits.STOP_GRACE_SECONDS)


def is_late(order: OrderRow, now: datetime) -> bool:
    """Return whether an order would have ended if its worker had started at once; then its claim is read."""
    return order.status in OPEN and order.dispatched_at is not None and now > _longest(order, order.dispatched_at)


def decide_order(
    order: OrderRow | None, *, has_result: bool, build_ended: bool, claimed_at: datetime | None = None, now: datetime
) -> Decision:
    """Return the decision about one order.

    ``claimed_at`` is when its worker claimed the order, None if no claim is known. Without a claim an order waits for a
    worker, at most until its deadline; the wait may be long if the account's limits are reached.
    ``build_ended`` must be read before ``has_result``: a build writes its result before it ends, so an ended build
    without a result will never write one.
    """
    if order is None:
        return Decision(Action.END, "the order does not exist any more")
    if order.status in TERMINAL:
        return Decision(Action.END, f"the order {order.status.value.replace('_', ' ')}")
    if has_result:
        # The watchdog goes on until the row shows the end, because the orchestrator may need another notification.
        return Decision(Action.NUDGE, "a result is not processed")
    if build_ended:
        return Decision(Action.REPORT_FAILED, "the build ended without a result")
    silent = order.status in OPEN and claimed_at is not None and now > _longest(order, claimed_at)
    over = order.status in OPEN and order.order_deadline is not None and now > order.order_deadline + _GRACE
    if silent or over:
        return Decision(Action.REPORT_TIMED_OUT, "the order reached its time-out and its worker did not report")
    return Decision(Action.WAIT, f"the order is {order.status.value}")


def _longest(order: OrderRow, since: datetime) -> datetime:
    """Return the time until which a worker that began at ``since`` must have reported."""
    return since + timedelta(seconds=order.timeout + limits.WORKER_START_SECONDS) + _GRACE


def decide_run(
    run: RunRow, orders: Sequence[OrderRow], lock: Lock | None, reported: AbstractSet[str], now: datetime
) -> Decision:
    """Return the decision about a prepared run; ``reported`` are the numbers of orders with a result in the bucket."""
    if lock is not None and lock.completed:
        return Decision(Action.END, f"the run {run.status.value.replace('_', ' ')}")
    missing = _missing_step(run, orders, reported, now)
    if missing is None and lock is not None and lock.comment_behind and run.report is not None and not lock.held(now):
        missing = "the comment is not up to date"
    return Decision(Action.NUDGE, missing) if missing else Decision(Action.WAIT, f"the run is {run.status.value}")


def _missing_step(run: RunRow, orders: Sequence[OrderRow], reported: AbstractSet[str], now: datetime) -> str | None:
    """Return what the orchestrator should have done by now, None if nothing."""
    if run.status in RUN_TERMINAL:
        return "the run ended and its last steps are missing"
    if all(order.status in TERMINAL for order in orders):
        return "every order has ended and the run has not"
    if any(order.status in OPEN and order.order_num in reported for order in orders):
        return "a result is not processed"
    queued = [order for order in orders if order.status is OrderState.QUEUED]
    if queued and (run.preparation_error or run.cancel_reason or now >= run.deadline):
        return "queued orders that can never start have not ended"
    return _missing_starts(run, orders, queued) or next(
        (late for order in orders if (late := _overdue(order, now)) is not None), None
    )


def _missing_starts(run: RunRow, orders: Sequence[OrderRow], queued: Sequence[OrderRow]) -> str | None:
    by_num = {order.order_num: order for order in orders}
    has_free_slot = sum(order.status in OPEN for order in orders) < run.max_parallel
    for order in queued:
        state, _ = readiness(order, by_num)
        if state is Readiness.BLOCKED:
            return "a queued order that can never start has not ended"
        if has_free_slot and state is Readiness.READY:
            return "an order is ready and was not dispatched"
    return None


def _overdue(order: OrderRow, now: datetime) -> str | None:
    if order.status is OrderState.DISPATCHING and order.dispatched_at is not None:
        stale = now >= order.dispatched_at + timedelta(seconds=limits.LEASE_SECONDS)
        if stale and order.order_deadline is not None and now < order.order_deadline:
            return "a dispatch was interrupted"
    if order.status in OPEN and order.order_deadline is not None and now > order.order_deadline + _GRACE:
        return "an order reached its time-out and has not ended"
    return None


def decide_unprepared(accepted_at: datetime, deadline: datetime, now: datetime) -> Decision:
    """Return the decision about an accepted job that has no rows yet."""
    if now >= deadline or now - accepted_at >= GIVE_UP_AFTER:
        return Decision(Action.GIVE_UP, "the preparation of the run did not finish in time")
    if now - accepted_at >= timedelta(seconds=limits.PREPARATION_SECONDS):
        return Decision(Action.PREPARE_AGAIN, "the preparation of the run is late")
    return Decision(Action.WAIT, "the run is being prepared")
