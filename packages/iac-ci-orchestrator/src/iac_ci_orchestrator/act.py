"""Wakes for a run: lock, look, decide, apply, look again while the doorbell rings, let go.

Every step may be the last one that happens: each is either conditional or harmless to repeat, and what a crash leaves
undone the next pass does.
"""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from iac_ci_common import limits
from iac_ci_common.errors import ConditionFailed, IacCiError
from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.models.result import Reporter
from iac_ci_common.ports import Transition
from iac_ci_common.states import OrderState
from iac_ci_common.termination import force_end
from iac_ci_orchestrator.batching import in_rounds
from iac_ci_orchestrator.comments import Commenter, CommentState, no_link
from iac_ci_orchestrator.completion import Finisher
from iac_ci_orchestrator.decide import decide
from iac_ci_orchestrator.dispatch import Dispatcher
from iac_ci_orchestrator.event_records import order_event, run_event
from iac_ci_orchestrator.results import read_results

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from iac_ci_common.models.lock import Lock
    from iac_ci_common.models.rows import OrderRow
    from iac_ci_orchestrator.decide import Dispatch, Plan
    from iac_ci_orchestrator.ports import OrchestratorPorts

_LOCK_LIFE: Final = timedelta(seconds=limits.MAX_JOB_SECONDS + limits.RETENTION_SECONDS)


_LOOK_FOR_ALL: Final = "all-"
"""How news begins that names no order: a trigger, a nudge."""


@dataclass(frozen=True, slots=True)
class _Pass:
    """What one pass came to."""

    told: CommentState
    finished: bool = False
    look_again: bool = False
    failures: tuple[IacCiError, ...] = ()


class Orchestrator:
    """Moves runs on, one wake-up at a time."""

    def __init__(self, ports: OrchestratorPorts, log_link: Callable[[str, str], str | None] = no_link) -> None:
        """Work through ``ports``; ``log_link`` gives where people read the whole log of a run's order, if anywhere."""
        self._ports = ports
        self._commenter = Commenter(ports, log_link)
        self._dispatcher = Dispatcher(ports.clock, ports.objects, ports.watchdogs, ports.workers)
        self._finisher = Finisher(ports, self._commenter)

    def wake(self, run_id: str, order_nums: AbstractSet[str] = frozenset()) -> None:
        """Do all there is to do for a run, or ring so that whoever is at it does.

        ``order_nums`` are the orders whose results the event announced; ``0000`` or none means to look for all.
        Raises the first failure that is worth another try, after everything else was done and the lock let go.
        """
        ports = self._ports
        lock = self._take(run_id, order_nums)
        if lock is None:
            return
        logger = ports.logger.bind(run_id=run_id)
        try:
            failures = self._passes(lock)
        except ConditionFailed as error:
            # Our lease ran out and somebody else goes on; what we had planned was conditional.
            logger.warning("the lock was lost", error=str(error))
            return
        if failures:
            raise failures[0]

    def _take(self, run_id: str, order_nums: AbstractSet[str]) -> Lock | None:
        """Ring and take the lock; None if the run is in other hands, whose holder then looks again."""
        locks = self._ports.locks
        now = self._ports.clock.now()
        owner = secrets.token_hex(8)
        lease, expires_at = limits.LEASE_SECONDS, now + _LOCK_LIFE
        # Each wish to look for all is news of its own: a holder who has looked already must look again.
        for_all = RUN_ORDER_NUM in order_nums or not order_nums
        news = {f"{_LOOK_FOR_ALL}{owner}"} if for_all else order_nums
        lock = locks.ring(run_id, news, owner=owner, now=now, lease_seconds=lease, expires_at=expires_at)
        if lock.owner == owner:
            return lock
        if lock.completed or lock.held(self._ports.clock.now()):
            return None
        # Its holder died. Who is quicker than we are takes it after our ring, and knows of it.
        return locks.take(run_id, owner=owner, now=now, lease_seconds=lease, expires_at=expires_at)

    def _passes(self, lock: Lock) -> tuple[IacCiError, ...]:
        told = CommentState.of(lock)
        # What others rang before us counts too: whoever was too late to take the lock has left, and relies on us.
        named, seen = _named(lock.rung), lock.rung
        while True:
            done = self._pass(lock, named, told)
            told = done.told
            if done.finished:
                self._ports.locks.complete(lock)
                return done.failures
            if done.look_again:
                lock, named = self._renew(lock), None
                continue
            rang = self._ports.locks.release(told.onto(lock))
            if rang is None:
                return done.failures
            lock, named = self._renew(rang), _named(rang.rung - seen)
            seen |= rang.rung

    def _renew(self, lock: Lock) -> Lock:
        """Prolong the lease once half of it is over."""
        now = self._ports.clock.now()
        if lock.held(now + timedelta(seconds=limits.LEASE_SECONDS / 2)):
            return lock
        return self._ports.locks.renew(lock, now=now, lease_seconds=limits.LEASE_SECONDS)

    def _pass(self, lock: Lock, named: AbstractSet[str] | None, told: CommentState) -> _Pass:
        ports = self._ports
        rows = ports.runs.read(lock.run_id)
        if rows.run is None:
            # Not prepared yet: the preparation's own trigger comes when it is.
            return _Pass(told=told)
        results = read_results(ports.objects, ports.parallel, rows.orders, named, ports.clock.now())
        plan = decide(rows.run, rows.orders, results, ports.clock.now())
        refused = self._move(plan)
        if plan.finish is not None and not refused:
            return _Pass(finished=self._finisher.finish(plan.finish, plan.orders), look_again=True, told=told)
        dispatches = [dispatch for dispatch in plan.dispatches if dispatch.after.order_num not in refused]
        failures, ended, running = self._dispatch(plan, dispatches)
        for stop in plan.stops:
            self._end(stop.order, stop.status, stop.reason)
        orders = [running.get(order.order_num, order) for order in plan.orders]
        run = plan.start.after if plan.start else plan.run
        changed = bool(plan.ends or plan.dispatches)
        told = self._commenter.between(run, orders, told, changed=changed)
        return _Pass(look_again=bool(refused or ended or plan.stops), failures=failures, told=told)

    def _move(self, plan: Plan) -> frozenset[str]:
        """Write the ends and the dispatches together; return the numbers of rows that had moved on."""
        now = self._ports.clock.now()
        transitions = [Transition(end.before, end.after, order_event(plan.run, end.after, now)) for end in plan.ends]
        transitions += [Transition(dispatch.before, dispatch.after) for dispatch in plan.dispatches]
        if plan.start is not None:
            transitions.append(Transition(plan.start.before, plan.start.after, run_event(plan.start.after, now)))
        if not transitions:
            return frozenset()
        return frozenset(transition.before.order_num for transition in self._ports.runs.apply(transitions))

    def _dispatch(
        self, plan: Plan, dispatches: list[Dispatch]
    ) -> tuple[tuple[IacCiError, ...], bool, dict[str, OrderRow]]:
        """Start workers side by side, then note them as running.

        Returns the failures that another try may mend, whether orders were ended because theirs cannot be, and the
        running ones by number.
        """
        ports = self._ports
        answers = in_rounds(
            ports.parallel, [partial(self._dispatcher.start, plan.run, dispatch) for dispatch in dispatches]
        )
        transitions: list[Transition] = []
        now_running: dict[str, OrderRow] = {}
        failures: list[IacCiError] = []
        ended = False
        for dispatch, answer in zip(dispatches, answers, strict=True):
            order = dispatch.after
            if not isinstance(answer, IacCiError):
                running = order.model_copy(
                    update={
                        "status": OrderState.RUNNING,
                        "started_at": order.dispatched_at,
                        "build_id": answer.build_id,
                    }
                )
                now_running[order.order_num] = running
                transitions.append(
                    Transition(order, running, order_event(plan.run, running, order.dispatched_at or ports.clock.now()))
                )
            elif answer.retry_is_safe:
                # It stays `dispatching`; a later pass sends it again.
                failures.append(answer)
            else:
                self._end(order, OrderState.FAILED, f"the order could not be dispatched: {answer.message}")
                ended = True
        if transitions:
            # A row that has moved on meanwhile has ended, which says more than `running`.
            ports.runs.apply(transitions)
        for reason, number in Counter(str(failure) for failure in failures).items():
            note = "a dispatch failed and will be tried again"
            ports.logger.warning(note, run_id=plan.run.run_id, error=reason, orders=number)
        return tuple(failures), ended, now_running

    def _end(self, order: OrderRow, status: OrderState, reason: str) -> None:
        ports = self._ports
        force_end(
            ports.objects,
            ports.workers,
            order,
            status,
            reason,
            reporter=Reporter.ORCHESTRATOR,
            now=ports.clock.now(),
        )


def _named(news: AbstractSet[str]) -> AbstractSet[str] | None:
    """Return the orders whose results news is of; None where it asks to look for all."""
    return None if any(one.startswith(_LOOK_FOR_ALL) for one in news) else news
