"""Processes a run: takes its lock, reads, decides, applies, repeats while events come, and releases the lock.

The process may die after any step: each step is conditional or may be repeated, and the next pass completes what a
crash left.
"""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from iac_ci_common import limits
from iac_ci_common.approvals import expired_result, result_key
from iac_ci_common.errors import AtCapacity, ConditionFailed, IacCiError, PlanStale
from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.kept_answers import keep_first
from iac_ci_common.models.job import ExecutionTarget
from iac_ci_common.models.result import Reporter
from iac_ci_common.order_events import order_event, waiting_event
from iac_ci_common.ports import RunRows, Transition
from iac_ci_common.run_events import run_event
from iac_ci_common.states import OPEN, OrderState
from iac_ci_common.termination import end_unclaimed, prevent_start
from iac_ci_orchestrator.announcer import AnnouncementState, Announcer
from iac_ci_orchestrator.batching import in_rounds, repeat_failed
from iac_ci_orchestrator.changed_rows import with_changes
from iac_ci_orchestrator.comments import Commenter, CommentState, no_link, no_page
from iac_ci_orchestrator.completion import Finisher
from iac_ci_orchestrator.concurrency import ConcurrencyGroups
from iac_ci_orchestrator.decide import claims_matter, decide
from iac_ci_orchestrator.dispatch import Dispatcher, with_ticket
from iac_ci_orchestrator.drift import DriftReporter
from iac_ci_orchestrator.early_release import may_release_early
from iac_ci_orchestrator.live_logs import remove_parts
from iac_ci_orchestrator.merging import Merger
from iac_ci_orchestrator.project_ledger import ProjectLedger
from iac_ci_orchestrator.remembered_rows import RememberedRows, may_be_applied
from iac_ci_orchestrator.results import claimed, list_callbacks, read_result, read_results
from iac_ci_orchestrator.stale_plans import StalePlans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from iac_ci_common.models.lock import Lock
    from iac_ci_common.models.result import Result
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_orchestrator.decide import Dispatch, EndOrder, FinishRun, Plan, RepeatOrder, Wait
    from iac_ci_orchestrator.dispatch import Started
    from iac_ci_orchestrator.ports import OrchestratorPorts

T = TypeVar("T")

_LOCK_LIFE: Final = timedelta(seconds=limits.MAX_JOB_SECONDS + limits.RETENTION_SECONDS)


_CHECK_ALL: Final = "all-"
"""Prefix of pending events that name no order: a trigger, a nudge."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """A lock that was taken; the run's rows if they are known, and results by the keys of their objects."""

    lock: Lock
    rows: RunRows | None
    early: Mapping[str, Result]


@dataclass(frozen=True, slots=True)
class _Pass:
    """The outcome of one pass; ``rows`` are the run's rows after it, None if they have to be read again.

    ``changed`` are by number the rows that the lock's owner has changed, or tried to, in this pass and before, as they
    were when it took the lock. ``released`` is whether it has released the lock.
    """

    comment: CommentState
    announcements: AnnouncementState
    rows: RunRows | None = None
    changed: dict[str, RunRow | OrderRow] = field(default_factory=dict)
    finished: bool = False
    repeat: bool = False
    released: bool = False
    failures: tuple[IacCiError, ...] = ()


@dataclass(frozen=True, slots=True)
class _Decided:
    """What a pass decided, and from which orders and results; ``is_from_memory`` if no row was read for it."""

    orders: tuple[OrderRow, ...]
    results: dict[str, Result]
    plan: Plan
    is_from_memory: bool


@dataclass(frozen=True, slots=True)
class _Dispatched:
    """The outcome of dispatches.

    ``failures`` are those that a retry may repair; ``ended`` is whether an order ended by a permanent failure;
    ``now_open`` are by number the orders that run or wait; ``overtaken`` is whether one of these has ended meanwhile;
    ``watchdog`` is the number of the run's watchdog.
    """

    failures: tuple[IacCiError, ...]
    ended: bool
    now_open: dict[str, OrderRow]
    overtaken: bool
    watchdog: int


class Orchestrator:
    """Advances runs, one invocation at a time."""

    def __init__(
        self,
        ports: OrchestratorPorts,
        log_link: Callable[[str, str, int], str | None] = no_link,
        *,
        page_link: Callable[[RunRow, datetime], str | None] = no_page,
        plan_days: int = limits.DEFAULT_PLAN_DAYS,
        stack: str = "iac-ci",
    ) -> None:
        """Use ``ports``.

        ``log_link`` returns the URL of the whole log of an order's attempt, ``page_link`` that of a run's page.

        Saved plans may be applied for ``plan_days`` days. ``stack`` is the name of the stack.
        """
        self._ports = ports
        self._remembered = RememberedRows()
        self._projects = ProjectLedger(ports.plans, ports.runs, ports.objects, ports.clock, plan_days)
        self._stale_plans = StalePlans(ports, self._projects)
        self._groups = ConcurrencyGroups(
            ports.groups, ports.runs, ports.objects, ports.clock, ports.parallel, ports.logger
        )
        self._commenter = Commenter(ports, log_link, page_link)
        self._dispatcher = Dispatcher(ports.clock, ports.runs, ports.objects, ports.watchdogs, ports.workers)
        self._drift = DriftReporter(ports)
        self._finisher = Finisher(ports, self._commenter, self._drift)
        self._merger = Merger(ports)
        self._announcer = Announcer(ports, stack)

    def wake(self, run_id: str, order_nums: AbstractSet[str] = frozenset()) -> None:
        """Process a run, or add the event to its doorbell if another invocation is processing it.

        ``order_nums`` are the orders whose results the event announced, as ``<number>`` or ``<number>/<attempt>``;
        ``0000`` or none means all orders.
        Raises the first failure that a retry may repair, after everything else is done and the lock is released.
        """
        ports = self._ports
        taken = self._take(run_id, order_nums)
        if taken is None:
            return
        logger = ports.logger.bind(run_id=run_id)
        try:
            failures = self._passes(taken)
        except ConditionFailed as error:
            # The lease has expired and another invocation owns the lock; the planned writes are conditional.
            logger.warning("orchestrator lost the lock", error=str(error))
            return
        if failures:
            raise failures[0]

    def _take(self, run_id: str, order_nums: AbstractSet[str]) -> _Taken | None:
        """Add the event and take the lock; return None if another invocation owns it, which then makes another pass.

        Meanwhile, read the results of those of the event's orders that this process remembers as open: then it most
        likely gets the lock.
        """
        ports, locks = self._ports, self._ports.locks
        now = self._ports.clock.now()
        owner = secrets.token_hex(8)
        lease, expires_at = limits.LEASE_SECONDS, now + _LOCK_LIFE
        # Each request to check all orders is a separate entry, so that an owner that has checked them checks again.
        for_all = RUN_ORDER_NUM in order_nums or not order_nums
        pending = {f"{_CHECK_ALL}{owner}"} if for_all else order_nums
        ring = partial(locks.ring, run_id, pending, owner=owner, now=now, lease_seconds=lease, expires_at=expires_at)
        remembered = self._remembered.take(run_id)
        expected = remembered.expected(_named(pending) or frozenset()) if remembered is not None else []
        reads = [partial(read_result, ports.objects, order) for order in expected]
        calls: list[Callable[[], Any]] = [ring, *reads]
        lock, *read = ports.parallel.run(calls)
        if isinstance(lock, IacCiError):
            raise lock
        if lock.owner != owner:
            if lock.completed or lock.held(ports.clock.now()):
                if remembered is not None and not lock.completed:
                    self._remembered.put_back(run_id, remembered)
                return None
            # The owner died. If another invocation takes the lock first, it does so after this event and sees it.
            lock = locks.take(run_id, owner=owner, now=now, lease_seconds=lease, expires_at=expires_at)
            if lock is None:
                return None
        results = zip(expected, read, strict=True)
        early = {result_key(order): result for order, result in results if not isinstance(result, IacCiError)}
        # A request to check all orders reads all rows anyway.
        names_orders = _named(lock.rung) is not None
        rows = remembered.as_of(lock, ports.runs) if remembered is not None and names_orders else None
        return _Taken(lock, rows, early)

    def _passes(self, taken: _Taken) -> tuple[IacCiError, ...]:
        lock = taken.lock
        done = _Pass(CommentState.of(lock), AnnouncementState.of(lock), taken.rows)
        # Earlier events count too: their invocations could not take the lock and exited.
        named, seen = _named(lock.rung), lock.rung
        while True:
            done = self._pass(lock, named, done, taken.early)
            if done.finished:
                self._ports.locks.complete(lock)
                return done.failures
            if done.released:
                self._remember(lock, done.rows)
                return done.failures
            if done.repeat:
                lock, named = self._renew(lock), None
                continue
            current = self._ports.locks.release(_released(lock, done, done.rows))
            if current is None:
                self._remember(lock, done.rows)
                return done.failures
            lock, named = self._renew(current), _named(current.rung - seen)
            seen |= current.rung

    def _remember(self, lock: Lock, rows: RunRows | None) -> None:
        if rows is not None:
            self._remembered.keep(lock, rows)

    def _renew(self, lock: Lock) -> Lock:
        """Extend the lease if half of it is over."""
        now = self._ports.clock.now()
        if lock.held(now + timedelta(seconds=limits.LEASE_SECONDS / 2)):
            return lock
        return self._ports.locks.renew(lock, now=now, lease_seconds=limits.LEASE_SECONDS)

    def _decide(
        self, lock: Lock, named: AbstractSet[str] | None, known: RunRows | None, early: Mapping[str, Result]
    ) -> _Decided | None:
        """Decide about events of the orders ``named``, from the rows ``known`` if they are enough for the decision.

        Returns None for a run that is not prepared yet.
        """
        ports = self._ports
        is_from_memory = known is not None and named is not None
        rows = known if known is not None and is_from_memory else ports.runs.read(lock.run_id)
        if rows.run is None:
            return None
        now = ports.clock.now()
        is_listed = named is None or claims_matter(rows.orders, now)
        stored = list_callbacks(ports.objects, rows.orders) if is_listed else frozenset[str]()
        results = read_results(ports.objects, ports.parallel, rows.orders, named, stored, now, early)
        now, begun = ports.clock.now(), claimed(rows.orders, stored)
        plan = decide(rows.run, rows.orders, results, now, claimed=begun)
        if is_from_memory and not may_be_applied(plan):
            return self._decide(lock, named, None, early)
        standings = self._groups.settle(plan, partial(self._renew, lock))
        if plan.asks:
            plan = decide(rows.run, rows.orders, results, now, standings, begun)
        if is_from_memory and not may_be_applied(plan):
            return self._decide(lock, named, None, early)
        held = self._held(plan)
        if held:
            plan = decide(rows.run, rows.orders, results, now, standings, begun | held)
        return _Decided(rows.orders, results, plan, is_from_memory)

    def _held(self, plan: Plan) -> frozenset[str]:
        """Return the numbers of the orders that the plan ends without a start and that a worker has claimed.

        Only orders that were queued again may have one: a worker of an earlier dispatch. No worker can begin the others
        from now on.
        """
        ports, now = self._ports, self._ports.clock.now()
        again = [end.before for end in plan.ends if end.before.status not in OPEN and end.before.handed_over]
        calls = [
            partial(prevent_start, ports.objects, order, reporter=Reporter.ORCHESTRATOR, now=now) for order in again
        ]
        answers = ports.parallel.run(calls) if calls else []
        for answer in answers:
            if isinstance(answer, IacCiError):
                raise answer
        return frozenset(order.order_num for order, answer in zip(again, answers, strict=True) if not answer)

    def _pass(
        self,
        lock: Lock,
        named: AbstractSet[str] | None,
        last: _Pass,
        early: Mapping[str, Result],
    ) -> _Pass:
        ports, comment, announcements = self._ports, last.comment, last.announcements
        decided = self._decide(lock, named, last.rows, early)
        if decided is None:
            # The preparation notifies the orchestrator at its end.
            return _Pass(comment, announcements, changed=last.changed)
        plan = decided.plan
        # What the pass before wants, as to be repeated, is over.
        written: dict[str, RunRow | OrderRow] = {one.before.order_num: one.before for one in self._transitions(plan)}
        last = _Pass(comment, announcements, changed=written | last.changed)
        if plan.dispatches:
            plan = _with_dispatches(plan, map(with_ticket, self._projects.with_generations(plan.dispatches)))
        for end in plan.ends:
            # Before the row: an end that is written is not met again.
            replaced = self._projects.end(plan.run, end.after)
            if replaced is not None:
                self._stale_plans.after_plan(plan.run, replaced)
            self._stale_plans.after_apply(plan.run, end.after)
        if plan.awaits:
            # Before the rows: people are asked again after a crash rather than never.
            asking = [one.after for one in plan.awaits]
            self._commenter.ask(plan.start.after if plan.start else plan.run, plan.orders, asking)
        self._keep_answers(plan)
        # Before the rows too: an end that is written is not met again.
        answered = [end.after for end in plan.ends if _had_asked(end)]
        self._commenter.update_questions(plan.run, plan.orders, answered)
        unless_cancelled = decided.is_from_memory and bool(plan.dispatches)
        released = self._write_and_release(plan, lock, last, unless_cancelled=unless_cancelled)
        if released is not None:
            remove_parts(ports.objects, ports.logger, decided.orders, decided.results)
            return released
        refused = self._apply(plan, unless_cancelled=unless_cancelled)
        # Only now: an order whose row has changed since may have been dispatched.
        never_started = [end.after for end in plan.ends if end.before.status not in OPEN]
        self._groups.leave(plan.run, [order for order in never_started if order.order_num not in refused])
        remove_parts(ports.objects, ports.logger, decided.orders, decided.results)
        if plan.finish is not None and not refused:
            return self._finish(plan, plan.finish, last)
        present = [dispatch for dispatch in plan.dispatches if dispatch.after.order_num not in refused]
        dispatched = self._dispatch(plan, present)
        by_num = {order.order_num: order for order in plan.orders} | dispatched.now_open
        orders = tuple(by_num.values())
        run = plan.start.after if plan.start else plan.run
        changed = bool(plan.ends or plan.repeats or plan.adopts or plan.waits or plan.dispatches)
        comment = self._commenter.update(run, orders, comment, changed=changed)
        # In the slots of orders that wait now, or were refused by their group, others may start that did not ask yet.
        left_slots = any(wait.before.waiting_for is None for wait in plan.waits) or bool(never_started)
        asks_on = bool(plan.asks) and left_slots
        followed_up = plan.repeats or plan.adopts or plan.answers or plan.expiries
        withdrawn = [self._end_unclaimed(one.order, one.reason, OrderState.CANCELLED) for one in plan.withdrawals]
        repeat = bool(refused or dispatched.ended or followed_up or asks_on or any(withdrawn))
        if not refused:
            announcements = self._announcer.waits(run, orders, announcements)
        run = run.model_copy(update={"watchdog": dispatched.watchdog})
        present_rows = None if refused or dispatched.overtaken else RunRows(run, tuple(orders))
        return _Pass(comment, announcements, present_rows, last.changed, repeat=repeat, failures=dispatched.failures)

    def _finish(self, plan: Plan, finish: FinishRun, last: _Pass) -> _Pass:
        """End a run; it is finished when its last announcement is on the bus, or is given up.

        A merge of its pull request that fails for a moment is tried again before, with all steps of the end.
        """
        announcements = last.announcements
        if not announcements.finished:
            self._groups.leave(plan.run, plan.orders, whole=True)
            unset = self._finisher.finish(finish, plan.orders)
            # After the run's last status, which takes the place of that of a stale plan.
            self._stale_plans.after_run(finish.after, plan.orders)
            # After all statuses, for which rules of the base branch may wait.
            if not self._merger.finish(finish.after, unset):
                return last
        drifts = self._drift.changed(finish.after, plan.orders)
        announcements = self._announcer.end(finish.after, plan.orders, drifts, announcements)
        finished = announcements.again_at is None
        return _Pass(last.comment, announcements, changed=last.changed, finished=finished)

    def _keep_answers(self, plan: Plan) -> None:
        """Keep the ends of approvals that nobody answers as their answers, where no person was first."""
        for taken in plan.answers:
            if taken.unasked is not None:
                keep_first(self._ports.objects, taken.unasked)
        for expired in plan.expiries:
            keep_first(self._ports.objects, expired_result(expired.order, self._ports.clock.now()))

    def _apply(self, plan: Plan, *, unless_cancelled: bool) -> frozenset[str]:
        """Write the plan's transitions together, the run's last; return the numbers of the rows that were not written.

        If one has changed since it was read, nothing more is written: what follows from a change that was refused, as
        an order that is skipped because of it, would have a reason that is not true. With ``unless_cancelled``, nothing
        is written either if the run was cancelled meanwhile.
        """
        transitions = self._transitions(plan)
        if not transitions:
            return frozenset()
        refused = self._ports.runs.apply(transitions, whole=True, unless_cancelled=unless_cancelled)
        return frozenset(transition.before.order_num for transition in refused)

    def _write_and_release(
        self,
        plan: Plan,
        lock: Lock,
        last: _Pass,
        *,
        unless_cancelled: bool,
    ) -> _Pass | None:
        """Write the plan's transitions and release the lock, then start the workers; return None if nothing is written.

        Meanwhile the run's watchdog is asked for, which runs until the run has ended, and that needs the lock; and the
        workers' URLs are signed. An order that fails for good gets its result here, whose event starts the pass that
        ends it.
        """
        run = plan.start.after if plan.start else plan.run
        postponed = self._commenter.postponed(run, last.comment, changed=True) if may_release_early(plan) else None
        if postponed is None:
            return None
        done = _Pass(postponed, last.announcements, changed=last.changed, released=True)
        released = _released(lock, done, RunRows(run, plan.orders))
        write, transitions = self._ports.last_writes.write, self._transitions(plan)
        calls: list[Callable[[], Any]] = [
            partial(write, transitions, released, unless_cancelled=unless_cancelled),
            partial(self._dispatcher.ensure_watchdog, run),
            *(partial(self._dispatcher.work, run, dispatch) for dispatch in plan.dispatches),
        ]
        written, watchdog, *works = self._ports.parallel.run(calls)
        if isinstance(written, IacCiError):
            raise written
        if not written:
            return None
        # What failed is tried again where it is needed.
        known, *made = (None if isinstance(answer, IacCiError) else answer for answer in (watchdog, *works))
        dispatches = [replace(dispatch, work=work) for dispatch, work in zip(plan.dispatches, made, strict=True)]
        dispatched = self._dispatch(plan, dispatches, is_locked=False, known=known)
        run = run.model_copy(update={"watchdog": dispatched.watchdog})
        return replace(done, rows=RunRows(run, plan.orders), failures=dispatched.failures)

    def _transitions(self, plan: Plan) -> list[Transition]:
        """Return the plan's transitions, the run's last."""
        now = self._ports.clock.now()
        changes: tuple[EndOrder | RepeatOrder | Wait, ...] = (*plan.ends, *plan.repeats, *plan.waits)
        transitions = [Transition(one.before, one.after, order_event(plan.run, one.after, now)) for one in changes]
        transitions += [Transition(dispatch.before, dispatch.after) for dispatch in plan.dispatches]
        transitions += [Transition(taken.before, taken.after) for taken in plan.answers]
        transitions += [Transition(adopt.before, adopt.after) for adopt in plan.adopts]
        transitions += [
            Transition(one.before, one.after, waiting_event(plan.run, one.after, now)) for one in plan.awaits
        ]
        for whole in (plan.start, plan.finish):
            if whole is not None and whole.before.status is not whole.after.status:
                transitions.append(Transition(whole.before, whole.after, run_event(whole.after, now)))
        return transitions

    def _dispatch(
        self, plan: Plan, dispatches: list[Dispatch], *, is_locked: bool = True, known: int | None = None
    ) -> _Dispatched:
        """Start workers concurrently, then write their orders as running, or what they wait for.

        That AWS has no capacity is no failure: the order waits, and the watchdog's next poll repeats its dispatch.
        Without the lock no row is written: only functions are started then. ``known`` is the number of the run's
        watchdog if it surely runs.
        """
        ports = self._ports
        answers, watchdog = self._start(plan, dispatches, known)
        transitions: list[Transition] = []
        now_open: dict[str, OrderRow] = {}
        failures: list[IacCiError] = []
        ended = False
        for dispatch, answer in zip(dispatches, answers, strict=True):
            order = dispatch.after
            if not is_locked and not isinstance(answer, IacCiError):
                continue
            if not isinstance(answer, IacCiError):
                running = order.model_copy(
                    update={
                        "status": OrderState.RUNNING,
                        "started_at": order.dispatched_at,
                        "build_id": answer.build_id,
                        "reason": None,
                    }
                )
                now_open[order.order_num] = running
                transitions.append(
                    Transition(order, running, order_event(plan.run, running, order.dispatched_at or ports.clock.now()))
                )
            elif isinstance(answer, AtCapacity) and is_locked:
                waiting = order.model_copy(update={"reason": f"waits for capacity: {answer.message}"[:1024]})
                now_open[order.order_num] = waiting
                if waiting != order:
                    event = order_event(plan.run, waiting, order.dispatched_at or ports.clock.now())
                    transitions.append(Transition(order, waiting, event))
            elif answer.retry_is_safe:
                # The order stays `dispatching`; a later pass dispatches it again.
                failures.append(answer)
            else:
                nothing_began = isinstance(answer, PlanStale)
                reason = answer.message if nothing_began else f"the order could not be dispatched: {answer.message}"
                ended |= self._end_unclaimed(order, reason)
        # A row that has changed since then has ended, so it is not written as `running`.
        overtaken = bool(transitions and ports.runs.apply(transitions))
        for reason, number in Counter(str(failure) for failure in failures).items():
            message = "dispatch failed and will be retried"
            ports.logger.warning(
                message, run_id=plan.run.run_id, trace_id=plan.run.trace_id, error=reason, orders=number
            )
        return _Dispatched(tuple(failures), ended, now_open, overtaken, watchdog)

    def _start(
        self, plan: Plan, dispatches: list[Dispatch], known: int | None
    ) -> tuple[list[Started | IacCiError], int]:
        """Start the workers if the run's watchdog runs; else return its error for each. Return also its number.

        Functions and builds have limits of their own, so that neither waits for the other's.
        """
        if not dispatches:
            return [], plan.run.watchdog
        asks = [partial(self._dispatcher.ensure_watchdog, plan.run)]
        [watchdog] = self._in_rounds(asks, dispatches) if known is None else [known]
        if isinstance(watchdog, IacCiError):
            return [watchdog] * len(dispatches), plan.run.watchdog
        answers: dict[str, Started | IacCiError] = {}
        for target in ExecutionTarget:
            of_target = [dispatch for dispatch in dispatches if dispatch.after.target is target]
            calls = [partial(self._begin, plan, dispatch) for dispatch in of_target]
            answered = zip(of_target, self._in_rounds(calls, of_target), strict=True)
            answers.update((dispatch.after.order_num, answer) for dispatch, answer in answered)
        return [answers[dispatch.after.order_num] for dispatch in dispatches], watchdog

    def _in_rounds(self, calls: Sequence[Callable[[], T]], dispatches: Sequence[Dispatch]) -> list[T | IacCiError]:
        """Do the calls of dispatches; repeat those that failed for a moment, unless the orders were dispatched before.

        The lock's lease must outlive the repetition too, so nothing is repeated where the calls took a third of it.
        """
        ports = self._ports
        began = ports.clock.now()
        answers = in_rounds(ports.parallel, calls)
        took_long = ports.clock.now() - began >= timedelta(seconds=limits.LEASE_SECONDS / 3)
        if took_long or all(dispatch.again for dispatch in dispatches):
            return answers
        return repeat_failed(ports.parallel, calls, answers, ports.wait)

    def _begin(self, plan: Plan, dispatch: Dispatch) -> Started:
        """Start one worker; an apply is entered in the ledger of plans first, which may refuse it."""
        self._projects.begin(plan.run, dispatch.after)
        return self._dispatcher.start(plan.run, dispatch)

    def _end_unclaimed(self, order: OrderRow, reason: str, status: OrderState = OrderState.FAILED) -> bool:
        ports = self._ports
        now = ports.clock.now()
        if end_unclaimed(ports.objects, ports.workers, order, status, reason, reporter=Reporter.ORCHESTRATOR, now=now):
            return True
        # A worker of an earlier dispatch has the order, so it stays `dispatching` until that worker reports.
        ports.logger.warning(
            "order not ended: a worker of an earlier dispatch runs",
            run_id=order.run_id,
            order_num=order.order_num,
            error=reason,
        )
        return False


def _with_dispatches(plan: Plan, dispatches: Iterable[Dispatch]) -> Plan:
    """Return the plan with its dispatches as they are written, also among its orders, which are remembered."""
    written = tuple(dispatches)
    by_num = {dispatch.after.order_num: dispatch.after for dispatch in written}
    orders = tuple(by_num.get(order.order_num, order) for order in plan.orders)
    return replace(plan, dispatches=written, orders=orders)


def _released(lock: Lock, done: _Pass, rows: RunRows | None) -> Lock:
    """Return the lock as its owner releases it after a pass, which leaves the run's rows like this."""
    return with_changes(done.announcements.onto(done.comment.onto(lock)), done.changed, rows)


def _had_asked(end: EndOrder) -> bool:
    """Return whether an order that ends has waited for an approval before: it succeeds without an answer otherwise."""
    before, after = end.before, end.after
    if before.approval is None or before.status is not OrderState.DISPATCHING:
        return before.awaits_answer
    return after.approval_answer is not None or after.status is not OrderState.SUCCEEDED


def _named(pending: AbstractSet[str]) -> AbstractSet[str] | None:
    """Return the orders of pending events, None if one of them asks to check all orders."""
    if any(entry.startswith(_CHECK_ALL) for entry in pending):
        return None
    return frozenset(entry.partition("/")[0] for entry in pending)
