"""Decides what to do for a run: pure. Returns a plan of frozen decisions for rows, results and time.

The plan also contains the consequences of ended orders (skips, starts, the end of the run), so that one pass does all
of it. The time is linear in orders and dependencies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from iac_ci_common.approvals import LONGER, expiry, unasked_result, waiting_words
from iac_ci_common.graph import NEVER_STARTS, Readiness, in_order, readiness
from iac_ci_common.groups import Access
from iac_ci_common.limits import LEASE_SECONDS, WORKER_WAIT_SECONDS
from iac_ci_common.overrides import failures_to_override, has_nothing_to_override, overridden
from iac_ci_common.states import (
    OPEN,
    RUN_TERMINAL,
    OrderState,
    RunState,
    check_order_transition,
    check_run_transition,
)
from iac_ci_orchestrator.attempts import is_repeated, next_attempt, reason_of_end
from iac_ci_orchestrator.group_requests import needs_group, some_need_groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from iac_ci_common.groups import Standing
    from iac_ci_common.models.result import Result
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.models.work import Work


@dataclass(frozen=True, slots=True)
class EndOrder:
    """An order ends, by its result or without a start."""

    before: OrderRow
    after: OrderRow


@dataclass(frozen=True, slots=True)
class RepeatOrder:
    """An attempt of an order failed and the next one is queued; a later pass dispatches it."""

    before: OrderRow
    after: OrderRow


@dataclass(frozen=True, slots=True)
class Dispatch:
    """An order is dispatched; ``again`` is true if an earlier dispatch may have been interrupted.

    ``ticket`` is empty in a decision; it is drawn before the decision is applied. ``work`` is the message for a
    function, if it was made before the order may be started.
    """

    before: OrderRow
    after: OrderRow
    timeout: int
    again: bool = False
    ticket: str = field(default="", repr=False)
    work: Work | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Withdraw:
    """An order whose dispatch may have been interrupted may not start any more: it ends, unless a worker has begun."""

    order: OrderRow
    reason: str


@dataclass(frozen=True, slots=True)
class Adopt:
    """A queued order that may not start any more has begun: a worker of an earlier dispatch has claimed it.

    It is dispatching, without another worker, so that its end is what that worker reports or what proves its death.
    """

    before: OrderRow
    after: OrderRow


@dataclass(frozen=True, slots=True)
class AwaitAnswer:
    """An order begins to wait for an approval."""

    before: OrderRow
    after: OrderRow


@dataclass(frozen=True, slots=True)
class TakeAnswer:
    """An order that waited was answered, its approval has expired, or nobody needs to be asked.

    A later pass writes its end. If nobody needs to be asked, ``unasked`` is that end; it is kept as the answer before.
    A row changes once in a plan, and no order ends that was queued and had a result: it is dispatching in between.
    """

    before: OrderRow
    after: OrderRow
    unasked: Result | None = None


@dataclass(frozen=True, slots=True)
class Expire:
    """Nobody has answered an order in time: this is kept as its answer, unless there is one."""

    order: OrderRow


@dataclass(frozen=True, slots=True)
class Wait:
    """A queued order waits for something else than before, or for nothing any more."""

    before: OrderRow
    after: OrderRow


@dataclass(frozen=True, slots=True)
class StartRun:
    """The run starts with its first orders."""

    before: RunRow
    after: RunRow


@dataclass(frozen=True, slots=True)
class FinishRun:
    """Every order has ended. ``before`` equals ``after`` if only later steps of the run's end are missing."""

    before: RunRow
    after: RunRow


@dataclass(frozen=True, slots=True)
class Plan:
    """All decisions of one pass, in the order of their effects.

    ``asks`` are ready orders that start only when they hold their concurrency groups, which is not known of them yet.
    """

    run: RunRow
    ends: tuple[EndOrder, ...] = ()
    repeats: tuple[RepeatOrder, ...] = ()
    adopts: tuple[Adopt, ...] = ()
    withdrawals: tuple[Withdraw, ...] = ()
    waits: tuple[Wait, ...] = ()
    asks: tuple[OrderRow, ...] = ()
    dispatches: tuple[Dispatch, ...] = ()
    awaits: tuple[AwaitAnswer, ...] = ()
    answers: tuple[TakeAnswer, ...] = ()
    expiries: tuple[Expire, ...] = ()
    start: StartRun | None = None
    finish: FinishRun | None = None
    orders: tuple[OrderRow, ...] = field(default=(), repr=False)
    """All orders as they are after the plan is applied."""


_TOO_LATE: Final = "the run reached its job_timeout"

_SEVERITY: Final = (OrderState.FAILED, OrderState.TIMED_OUT, OrderState.CANCELLED)
_RUN_STATE: Final = {
    OrderState.FAILED: RunState.FAILED,
    OrderState.TIMED_OUT: RunState.TIMED_OUT,
    OrderState.CANCELLED: RunState.CANCELLED,
}


_NO_STANDINGS: Final[Mapping[str, Standing]] = MappingProxyType({})


def decide(
    run: RunRow,
    orders: Sequence[OrderRow],
    results: Mapping[str, Result],
    now: datetime,
    standings: Mapping[str, Standing] = _NO_STANDINGS,
    claimed: AbstractSet[str] = frozenset(),
) -> Plan:
    """Return the plan for one pass of a run.

    ``results`` are the results by order number; those of ended orders are ignored. ``standings`` say by order number
    where orders stand that asked for their concurrency groups. ``claimed`` are the orders that are ``dispatching``, or
    were queued again, and whose worker is known to have begun.
    The whole plan is checked against the state tables before it is returned; raises ``IllegalTransition``.
    """
    if run.status in RUN_TERMINAL:
        return Plan(run, finish=FinishRun(run, run), orders=tuple(orders))
    by_num = {order.order_num: order for order in orders}
    stop_reason = _stop_reason(run, orders, now)
    reported, repeats = _reported(run, by_num, results, stop_reason)
    queued = _in_state(by_num.values(), OrderState.QUEUED)
    never_started = _never_started(run, by_num, queued, stop_reason, standings, now, claimed)
    if never_started:
        queued = _in_state(by_num.values(), OrderState.QUEUED)
    dispatched = _in_state(by_num.values(), OrderState.DISPATCHING)
    running = _in_state(by_num.values(), OrderState.RUNNING)
    repeated = {repeat.after.order_num for repeat in repeats}
    slots = run.max_parallel - len(dispatched) - len(running) - len(repeated)
    first = _first(run, by_num, queued, slots, repeated, standings, now) if stop_reason is None else _First()
    again, withdrawals = _again(run, dispatched, now, claimed)
    dispatches = (*again, *first.dispatches)
    awaits, answers, expiries = _approvals(run, by_num, queued, results, now)
    changes: tuple[Dispatch | Wait | AwaitAnswer | TakeAnswer, ...] = (*dispatches, *first.waits, *awaits, *answers)
    for change in changes:
        by_num[change.after.order_num] = change.after
    after_all = tuple(by_num.values())
    finish = None if queued or dispatched or running else _finish(run, after_all, now)
    start = None
    if finish is None and run.status is RunState.QUEUED and (dispatches or awaits):
        start = StartRun(run, run.model_copy(update={"status": RunState.RUNNING}))
    plan = Plan(
        run,
        ends=(*reported, *(one for one in never_started if isinstance(one, EndOrder))),
        repeats=repeats,
        adopts=tuple(one for one in never_started if isinstance(one, Adopt)),
        withdrawals=tuple(withdrawals),
        waits=tuple(first.waits),
        asks=tuple(first.asks),
        dispatches=dispatches,
        awaits=awaits,
        answers=answers,
        expiries=expiries,
        start=start,
        finish=finish,
        orders=after_all,
    )
    _check(plan)
    return plan


def _in_state(orders: Iterable[OrderRow], state: OrderState) -> list[OrderRow]:
    return [order for order in orders if order.status is state]


def _reported(
    run: RunRow, by_num: dict[str, OrderRow], results: Mapping[str, Result], stop_reason: str | None
) -> tuple[tuple[EndOrder, ...], tuple[RepeatOrder, ...]]:
    """Return what results make of open orders, and update ``by_num``; a queued order has no worker to report."""
    ends, repeats = [], []
    for num, result in sorted(results.items()):
        before = by_num.get(num)
        if before is None or before.status not in OPEN:
            continue
        if is_repeated(run, before, result) and stop_reason is None:
            by_num[num] = next_attempt(before, result)
            repeats.append(RepeatOrder(before, by_num[num]))
        else:
            by_num[num] = _ended(before, result)
            ends.append(EndOrder(before, by_num[num]))
    return tuple(ends), tuple(repeats)


def _never_started(
    run: RunRow,
    by_num: dict[str, OrderRow],
    queued: Sequence[OrderRow],
    stop_reason: str | None,
    standings: Mapping[str, Standing],
    now: datetime,
    claimed: AbstractSet[str],
) -> tuple[EndOrder | Adopt, ...]:
    """Return what becomes of queued orders that can never start, dependencies first, and update ``by_num``."""

    def without_start(order: OrderRow) -> OrderRow | None:
        if order.status is not OrderState.QUEUED:
            return None
        ready, reason = readiness(order, by_num)
        wish = order.stop_wish(run) if _had_worker(order) else None
        standing = standings.get(order.order_num)
        if wish is not None:
            words = "it is not repeated" if order.attempt > 1 else "it had not begun"
            return _not_started(order, OrderState.CANCELLED, f"{wish}; {words}"[:1024], now)
        if stop_reason is not None:
            return _not_started(order, OrderState.CANCELLED, stop_reason, now)
        if ready in NEVER_STARTS:
            after = _not_started(order, OrderState.SKIPPED, reason or "a dependency did not succeed", now)
            return after.model_copy(update={"not_needed": ready is Readiness.NOT_NEEDED})
        if standing is not None and standing.access is Access.REFUSED:
            return _not_started(order, OrderState.CANCELLED, standing.text[:1024], now)
        return None

    # In most passes nothing ends like this, and the graph need not be sorted. An order that had no worker yet and that
    # depends on nothing ends like this only with the run or for its group.
    all_may = stop_reason is not None or bool(standings)
    asked = queued if all_may else [one for one in queued if one.dependencies or one.when or _had_worker(one)]
    if not any(map(without_start, asked)):
        return ()
    changes: list[EndOrder | Adopt] = []
    for order in in_order(by_num.values()):
        after = without_start(order)
        if after is not None:
            has_begun = order.order_num in claimed
            changes.append(Adopt(order, _dispatch(run, order, now).after) if has_begun else EndOrder(order, after))
            by_num[order.order_num] = changes[-1].after
    return tuple(changes)


def _had_worker(order: OrderRow) -> bool:
    """Return whether a queued order was dispatched before: a request may have asked its worker to stop."""
    return order.attempt > 1 or order.handed_over > 0


def _approvals(
    run: RunRow,
    by_num: Mapping[str, OrderRow],
    queued: Sequence[OrderRow],
    results: Mapping[str, Result],
    now: datetime,
) -> tuple[tuple[AwaitAnswer, ...], tuple[TakeAnswer, ...], tuple[Expire, ...]]:
    """Return what begins to wait for an approval, what was answered, and what has expired without an answer.

    An order that can never start, or whose run is stopped, has ended before. Nobody is asked where nothing failed that
    an approval would override: a later pass writes that end too.
    """
    awaits: list[AwaitAnswer] = []
    answers: list[TakeAnswer] = []
    expiries: list[Expire] = []
    asked = [order for order in queued if order.approval is not None]
    for order in sorted(asked, key=lambda row: row.order_num):
        if order.approval is None or readiness(order, by_num)[0] is not Readiness.READY:
            continue
        if order.waiting_for is None and has_nothing_to_override(order, by_num):
            after = order.model_copy(update={"status": OrderState.DISPATCHING})
            answers.append(TakeAnswer(order, after, unasked_result(order, by_num, now)))
        elif order.waiting_for is None:
            until = expiry(run, order, now)
            words = waiting_words(order.approval, until, failures_to_override(order, by_num))
            after = order.model_copy(update={"waiting_for": words, "order_deadline": until})
            awaits.append(AwaitAnswer(order, after))
        elif order.order_num in results:
            after = order.model_copy(update={"status": OrderState.DISPATCHING, "waiting_for": None})
            answers.append(TakeAnswer(order, after))
        elif order.order_deadline is not None and now >= order.order_deadline:
            expiries.append(Expire(order))
    return tuple(awaits), tuple(answers), tuple(expiries)


def _stop_reason(run: RunRow, orders: Sequence[OrderRow], now: datetime) -> str | None:
    """Return the reason why no further order may start, None if orders may start."""
    if run.preparation_error is not None:
        return f"the run could not be prepared: {run.preparation_error}"[:1024]
    cancellation = _cancellation(run)
    if cancellation is not None:
        return cancellation
    if _is_over(run, now):
        waiting = sorted(order.order_name for order in orders if order.awaits_answer)
        if waiting:
            return f"{_TOO_LATE} while {', '.join(waiting[:5])} waited for an approval; {LONGER}"[:1024]
        return _TOO_LATE
    return None


def _cancellation(run: RunRow) -> str | None:
    return f"the run was cancelled: {run.cancel_reason}"[:1024] if run.cancel_reason is not None else None


def _is_over(run: RunRow, at: datetime) -> bool:
    """Return whether no order may start any more: less than a second is too short to run one."""
    return run.deadline - at < timedelta(seconds=1)


def _ended(order: OrderRow, result: Result) -> OrderRow:
    return order.model_copy(
        update={
            "status": result.status,
            "started_at": result.started_at or order.started_at,
            "ended_at": result.ended_at,
            "exit_code": result.exit_code,
            "changed": result.changed and result.status is OrderState.SUCCEEDED,
            "changes": result.changes,
            "changes_unknown": result.changes_unknown,
            "outputs": result.outputs,
            "files": result.files,
            "planned": result.planned if result.status is OrderState.SUCCEEDED else None,
            "kept": result.kept,
            "approval_answer": result.answer,
            "reason": reason_of_end(order, result),
        }
    )


def _not_started(order: OrderRow, status: OrderState, reason: str, now: datetime) -> OrderRow:
    return order.model_copy(update={"status": status, "ended_at": now, "reason": reason, "waiting_for": None})


def _again(
    run: RunRow, dispatched: Sequence[OrderRow], now: datetime, claimed: AbstractSet[str]
) -> tuple[list[Dispatch], list[Withdraw]]:
    """Return the dispatches that are repeated, and the orders that may not start any more instead."""
    again, withdrawals = [], []
    for order in dispatched:
        if order.order_num in claimed or not _is_stale(order, now):
            continue
        reason = order.stop_wish(run) or _cancellation(run)
        if reason is not None:
            withdrawals.append(Withdraw(order, f"{reason}; it had not begun"[:1024]))
        else:
            after = order.model_copy(update={"dispatched_at": now})
            again.append(Dispatch(order, after, _timeout(order, run, now), again=True))
    return again, withdrawals


@dataclass(slots=True)
class _First:
    """What becomes of the ready orders."""

    dispatches: list[Dispatch] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    asks: list[OrderRow] = field(default_factory=list)


def _first(
    run: RunRow,
    by_num: Mapping[str, OrderRow],
    queued: Sequence[OrderRow],
    slots: int,
    repeated: AbstractSet[str],
    standings: Mapping[str, Standing],
    now: datetime,
) -> _First:
    """Return the first dispatches, and what the other ready orders wait for.

    Those that are ``repeated`` keep their slots for a later pass: a row changes once in a plan. An order that waits
    for a concurrency group has no slot. No more orders ask than there are slots, besides those that waited before.
    """
    found, asked = _First(), 0
    startable = [order for order in queued if order.approval is None]
    some_wait = bool(standings) or any(map(attrgetter("waiting_for"), startable))
    some_wait_or_ask = some_wait or some_need_groups(run, startable)
    for order in sorted(startable, key=attrgetter("order_num")):
        if order.order_num in repeated:
            continue
        if slots <= 0 and not some_wait_or_ask:
            # Ready or not, nothing changes.
            break
        if readiness(order, by_num)[0] is not Readiness.READY:
            continue
        standing = standings.get(order.order_num)
        if standing is None and needs_group(run, order):
            is_new = order.waiting_for is None
            if not is_new or asked < slots:
                asked += is_new
                found.asks.append(order)
        elif standing is not None and standing.access is Access.WAITS:
            _add_wait(found, order, standing.text[:512])
        elif slots > 0:
            found.dispatches.append(_dispatch(run, order, now))
            slots -= 1
        else:
            _add_wait(found, order, None)
    return found


def _add_wait(found: _First, order: OrderRow, text: str | None) -> None:
    if text != order.waiting_for:
        found.waits.append(Wait(order, order.model_copy(update={"waiting_for": text})))


def _dispatch(run: RunRow, order: OrderRow, now: datetime) -> Dispatch:
    timeout = _timeout(order, run, now)
    # A worker may start late if the account's limits are reached. That must only delay the run, so the order's
    # deadline includes the wait, up to the run's deadline.
    order_deadline = min(run.deadline, now + timedelta(seconds=timeout + WORKER_WAIT_SECONDS))
    after = order.model_copy(
        update={
            "status": OrderState.DISPATCHING,
            "dispatched_at": now,
            "order_deadline": order_deadline,
            "waiting_for": None,
            # While an order is dispatched, a reason says that it waits for capacity.
            "reason": None,
        }
    )
    return Dispatch(order, after, timeout)


def _is_stale(order: OrderRow, now: datetime) -> bool:
    """Return whether a dispatch may have been interrupted and the order can still end in time."""
    if order.dispatched_at is None or order.order_deadline is None:
        return False
    return now >= order.dispatched_at + timedelta(seconds=LEASE_SECONDS) and now < order.order_deadline


def claims_matter(orders: Sequence[OrderRow], now: datetime) -> bool:
    """Return whether an order would be dispatched again unless its worker has begun."""
    return any(_is_stale(order, now) for order in _in_state(orders, OrderState.DISPATCHING))


def _timeout(order: OrderRow, run: RunRow, now: datetime) -> int:
    return max(1, min(order.timeout, int((run.deadline - now).total_seconds())))


def _finish(run: RunRow, orders: Sequence[OrderRow], now: datetime) -> FinishRun:
    status, reason = outcome(run, orders)
    return FinishRun(run, run.model_copy(update={"status": status, "reason": reason, "finished_at": now}))


def outcome(run: RunRow, orders: Sequence[OrderRow]) -> tuple[RunState, str | None]:
    """Return the final state of a run whose orders have all ended, and its reason.

    The cause is the must-succeed order that did not succeed and ended first; at the same time, a failure is before a
    time-out and a time-out before a cancellation. Skipped orders are never the cause, because another order's end is
    the reason why they were skipped: it is the cause, also of an order that need not succeed, if a must-succeed order
    was skipped because of it. Those that an approval has overridden are no cause, unless others were skipped because of
    them all the same; the reason of a run that succeeded names them.
    """
    if run.preparation_error is not None:
        return RunState.FAILED, run.preparation_error[:1024]
    by_approval = overridden(orders)
    needed = [order for order in orders if order.must_succeed and order.status in _SEVERITY]
    causes = [order for order in needed if order.order_num not in by_approval]
    if any(map(_is_missing, orders)):
        causes = causes or needed or _reasons_of_skips(orders)
    if causes:
        first = min(causes, key=lambda order: (order.ended_at or run.deadline, _SEVERITY.index(order.status)))
        status = RunState.TIMED_OUT if _came_too_late(run, first) else _RUN_STATE[first.status]
        return status, f"{first.order_name}: {first.reason or first.status.value.replace('_', ' ')}"[:1024]
    if run.cancel_reason is not None and any(order.status is OrderState.CANCELLED for order in orders):
        return RunState.CANCELLED, run.cancel_reason[:1024]
    if any(_came_too_late(run, order) for order in orders):
        return RunState.TIMED_OUT, _TOO_LATE
    return RunState.SUCCEEDED, _overrides(orders, by_approval)


def _reasons_of_skips(orders: Sequence[OrderRow]) -> list[OrderRow]:
    """Return the orders whose ends are the reasons why must-succeed orders were skipped."""
    by_num = {order.order_num: order for order in orders}
    found: list[OrderRow] = []
    seen: set[str] = set()
    waiting = [order for order in orders if order.must_succeed and _is_missing(order)]
    while waiting:
        order = waiting.pop()
        for num in (*order.dependencies, *order.when):
            dependency = by_num.get(num)
            if dependency is None or num in seen:
                continue
            if _is_missing(dependency):
                seen.add(num)
                waiting.append(dependency)
            elif dependency.status is OrderState.CANCELLED or (num in order.when and dependency.status in _SEVERITY):
                seen.add(num)
                found.append(dependency)
    return found


def _is_missing(order: OrderRow) -> bool:
    """Return whether an order was skipped although it was needed."""
    return order.status is OrderState.SKIPPED and not order.not_needed


def _overrides(orders: Sequence[OrderRow], by_approval: Mapping[str, OrderRow]) -> str | None:
    """Return which orders did not succeed and who has overridden each, None if there is none."""
    texts = [
        f"{order.order_name} {order.status.value.replace('_', ' ')}; {approval.order_name} was {approval.reason}"
        for order in orders
        if (approval := by_approval.get(order.order_num)) is not None
    ]
    return "; ".join(texts)[:1024] or None


def _came_too_late(run: RunRow, order: OrderRow) -> bool:
    """Return whether an order was cancelled because the run timed out, and not because a person asked for it."""
    asked = run.cancel_reason is not None or order.stop_wish(run) is not None
    # Before the deadline its concurrency group refused it.
    at_the_deadline = order.ended_at is None or _is_over(run, order.ended_at)
    return order.status is OrderState.CANCELLED and order.dispatched_at is None and at_the_deadline and not asked


def _check(plan: Plan) -> None:
    """Raise ``IllegalTransition`` unless every transition of the plan is allowed, before its first effect."""
    changes: tuple[EndOrder | RepeatOrder | Adopt | TakeAnswer, ...]
    changes = (*plan.ends, *plan.repeats, *plan.adopts, *plan.answers)
    for change in changes:
        check_order_transition(change.before.status, change.after.status)
    for dispatch in plan.dispatches:
        if not dispatch.again:
            check_order_transition(dispatch.before.status, dispatch.after.status)
    for whole in (plan.start, plan.finish):
        if whole is not None and whole.before.status is not whole.after.status:
            check_run_transition(whole.before.status, whole.after.status)
