"""Decides what the watchdog does: pure. Returns frozen decisions for the known state and the time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from iac_ci_common import limits
from iac_ci_common.execution_life import latest_end
from iac_ci_common.graph import NEVER_STARTS, Readiness, readiness
from iac_ci_common.models.job import ExecutionTarget
from iac_ci_common.models.result import Reporter
from iac_ci_common.states import OPEN, RUN_TERMINAL, OrderState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from iac_ci_common.models.lock import Lock
    from iac_ci_common.models.result import Claim
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.models.watch import KnownRows, OpenOrder


class Action(StrEnum):
    """The actions of the watchdog."""

    WAIT = "wait"
    END = "end"
    NUDGE = "nudge"
    DISPATCH_AGAIN = "dispatch_again"
    LOOK_AGAIN = "look_again"
    READ_AGAIN = "read_again"
    RECORD_RUNNING = "record_running"
    STOP_BUILD = "stop_build"
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
_LEASE: Final = timedelta(seconds=limits.LEASE_SECONDS)

_INTERRUPTED: Final = "a dispatch was interrupted"

_ENGINE: Final = frozenset({Reporter.WATCHDOG, Reporter.ORCHESTRATOR})
"""The functions that create a claim so that no worker can begin, and then write the result."""


def needs_claim(order: OpenOrder, ended_builds: AbstractSet[str], now: datetime) -> bool:
    """Return whether ``decide_order`` could decide more than to wait; then the order's claim is read."""
    if order.build_id in ended_builds or _is_overdue(order, now) or _is_stale(order, now):
        return True
    if order.dispatched_at is None:
        return False
    if order.target is not ExecutionTarget.CODEBUILD:
        return now > _latest_end(order, order.dispatched_at)
    # A build that the row does not name is known by its claim only: its dispatch was interrupted.
    return order.build_id is None and now >= order.dispatched_at + _LEASE


def decide_order(order: OpenOrder, claim: Claim | None, ended_builds: AbstractSet[str], now: datetime) -> Decision:
    """Return the decision about one open order without a result: it is ended only on proof, never for silence.

    The proofs: its build has ended; the longest possible life of the execution that claimed it is over; no worker has
    claimed it and none can, because the watchdog creates the claim before it ends the order. Lambda's record of a
    failed worker is a further proof, which arrives by itself.

    ``ended_builds`` must be read before the results: a build writes its result before it ends, so an ended build
    without a result will never write one.
    """
    overdue = _is_overdue(order, now)
    if claim is not None and claim.claimed_by in _ENGINE:
        # The function that created the claim has died since, unless it is about to write the result.
        if now > claim.claimed_at + _GRACE:
            return Decision(
                Action.REPORT_FAILED, f"no worker can begin the order: the {claim.claimed_by} has its claim"
            )
        return Decision(Action.WAIT, f"the {claim.claimed_by} is ending the order")
    build_id = build_of(order, claim)
    if build_id in ended_builds:
        if overdue:
            return Decision(Action.REPORT_TIMED_OUT, "the order reached its deadline and its build ended")
        return Decision(Action.REPORT_FAILED, "the build ended without a result")
    if claim is None:
        if overdue:
            return Decision(Action.REPORT_TIMED_OUT, "no worker began the order before its deadline")
        return Decision(Action.WAIT, "the order waits for a worker")
    if build_id is not None:
        if _grace_is_over(order, now):
            return Decision(Action.STOP_BUILD, "the order reached its deadline, its grace is over, and its build runs")
        return _runs(order, "the build runs")
    if now > _latest_end(order, claim.claimed_at):
        return Decision(Action.REPORT_TIMED_OUT, "the worker reached the end of its longest possible life")
    return _runs(order, "the worker may be running")


def _runs(order: OpenOrder, seen: str) -> Decision:
    """Return the decision about an order that a worker has claimed, whose row may not say yet that it runs."""
    return Decision(Action.RECORD_RUNNING if order.status is OrderState.DISPATCHING else Action.WAIT, seen)


def build_of(order: OpenOrder, claim: Claim | None) -> str | None:
    """Return the build that runs an order, as far as it is known: the one that has the claim, else the row's.

    An order that was dispatched again has two builds: the second ends at once, without a result.
    """
    if claim is None:
        return order.build_id
    if order.build_id is None or claim.is_of_another_build(order.build_id):
        return claim.build_id
    return order.build_id


def _is_overdue(order: OpenOrder, now: datetime) -> bool:
    """Return whether no worker may begin the order any more."""
    return order.order_deadline is not None and now > order.order_deadline + _GRACE


def _grace_is_over(order: OpenOrder, now: datetime) -> bool:
    """Return whether the commands of a worker that began in time have had their whole grace."""
    grace = timedelta(seconds=order.grace) + _GRACE
    return order.order_deadline is not None and now > order.order_deadline + grace


def _latest_end(order: OpenOrder, claimed_at: datetime) -> datetime:
    return latest_end(order.target, order.timeout, order.grace, claimed_at)


def decide_run(
    run: RunRow,
    known: KnownRows,
    reported: AbstractSet[str],
    lock: Lock | None,
    now: datetime,
    orders: Sequence[OrderRow] | None = None,
) -> Decision:
    """Return the decision about a prepared run; ``reported`` are the numbers of orders with a result in the bucket.

    ``orders`` are all rows of orders; None if they have not changed since a poll that found nothing missing in them.
    """
    if run.status in RUN_TERMINAL and lock is not None and lock.finished:
        return _announcement_due(lock, now) or Decision(
            Action.WAIT, "the run ended; an announcement is put again later"
        )
    missing = _missing_step(run, known, reported, now)
    if missing == _INTERRUPTED and orders is not None and _only_wait_for_capacity(known, orders, now):
        return Decision(Action.DISPATCH_AGAIN, "orders wait for capacity")
    if missing is None and orders is not None:
        missing = _missing_start(run, orders)
    if missing is None and lock is not None and lock.comment_behind and run.report is not None and not lock.held(now):
        missing = "the comment is not up to date"
    if missing is None and orders is not None and _has_unannounced(orders, lock, now):
        missing = "a wait for an approval is not announced"
    if missing is not None:
        return Decision(Action.NUDGE, missing)
    due = _announcement_due(lock, now) if lock is not None else None
    if due is not None:
        return due
    waiting = next((order.waiting_for for order in orders or () if _waits_for_others(order)), None)
    if waiting is not None:
        return Decision(Action.LOOK_AGAIN, f"an order waits for {waiting}")
    return Decision(Action.WAIT, f"the run is {run.status.value}")


def _announcement_due(lock: Lock, now: datetime) -> Decision | None:
    """Return the decision to look again if the event bus has refused an announcement and its pause is over."""
    if lock.announce_at is None or now < lock.announce_at or lock.held(now):
        return None
    return Decision(Action.LOOK_AGAIN, "an announcement is not on the event bus yet")


def _has_unannounced(orders: Sequence[OrderRow], lock: Lock | None, now: datetime) -> bool:
    """Return whether an owner of the lock died between an order's wait for an approval and its announcement."""
    if lock is None or lock.held(now) or lock.announce_at is not None:
        return False
    return any(order.awaits_answer and order.order_num not in lock.announced for order in orders)


def _missing_step(run: RunRow, known: KnownRows, reported: AbstractSet[str], now: datetime) -> str | None:
    """Return what the orchestrator should have done by now, None if nothing."""
    if run.status in RUN_TERMINAL:
        return "the run ended and its last steps are missing"
    if not known.open and not known.queued and not known.waiting:
        return "every order has ended and the run has not"
    if any(order.order_num in reported for order in known.open):
        return "a result is not processed"
    if any(order.answered or order.order_num in reported for order in known.waiting):
        return "an answer to an approval is not processed"
    if any(order.until is not None and now >= order.until for order in known.waiting):
        return "an approval has expired"
    if known.queued and (run.preparation_error or run.cancel_reason or now >= run.deadline):
        return "queued orders that can never start have not ended"
    if any(_is_stale(order, now) for order in known.open):
        return _INTERRUPTED
    return None


def _only_wait_for_capacity(known: KnownRows, orders: Sequence[OrderRow], now: datetime) -> bool:
    """Return whether AWS refused every stale dispatch for want of capacity, which is no fault of the run.

    Such an order has a reason before its end.
    """
    refused = {order.order_num for order in orders if order.status is OrderState.DISPATCHING and order.reason}
    return all(order.order_num in refused for order in known.open if _is_stale(order, now))


def _waits_for_others(order: OrderRow) -> bool:
    """Return whether a ready order waits for something outside of its run, which may be free by now."""
    return order.status is OrderState.QUEUED and order.waiting_for is not None and order.approval is None


def _missing_start(run: RunRow, orders: Sequence[OrderRow]) -> str | None:
    by_num = {order.order_num: order for order in orders}
    has_free_slot = sum(order.status in OPEN for order in orders) < run.max_parallel
    for order in orders:
        if order.status is not OrderState.QUEUED:
            continue
        state, _ = readiness(order, by_num)
        if state in NEVER_STARTS:
            return "a queued order that can never start has not ended"
        if state is Readiness.READY and order.approval is not None:
            if not order.awaits_answer:
                return "an order is ready and does not wait for its approval yet"
        elif has_free_slot and state is Readiness.READY and not _waits_for_others(order):
            return "an order is ready and was not dispatched"
    return None


def _is_stale(order: OpenOrder, now: datetime) -> bool:
    if order.status is not OrderState.DISPATCHING or order.dispatched_at is None:
        return False
    in_time = order.order_deadline is not None and now < order.order_deadline
    return in_time and now >= order.dispatched_at + _LEASE


def decide_unprepared(accepted_at: datetime, deadline: datetime, now: datetime) -> Decision:
    """Return the decision about an accepted job that has no rows yet."""
    if now >= deadline or now - accepted_at >= GIVE_UP_AFTER:
        return Decision(Action.GIVE_UP, "the preparation of the run did not finish in time")
    if now - accepted_at >= timedelta(seconds=limits.PREPARATION_SECONDS):
        return Decision(Action.PREPARE_AGAIN, "the preparation of the run is late")
    return Decision(Action.WAIT, "the run is being prepared")
