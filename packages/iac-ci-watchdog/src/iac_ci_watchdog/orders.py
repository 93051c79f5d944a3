"""Looks after a run's open orders and ends, on proof, those whose worker will never report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from iac_ci_common import keys
from iac_ci_common.errors import IacCiError
from iac_ci_common.execution_life import is_new_build
from iac_ci_common.limits import STOP_GRACE_SECONDS
from iac_ci_common.models.job import ExecutionTarget
from iac_ci_common.models.result import Claim, Reporter
from iac_ci_common.nudge import nudge
from iac_ci_common.order_events import order_event
from iac_ci_common.ports import Transition
from iac_ci_common.states import OPEN, OrderState
from iac_ci_common.termination import force_end, prevent_start
from iac_ci_watchdog.claims import read_claim
from iac_ci_watchdog.decide import Action, Decision, build_of, decide_order, needs_claim

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.models.watch import OpenOrder, WaitingOrder
    from iac_ci_watchdog.ports import WatchdogPorts

_STATES = {Action.REPORT_FAILED: OrderState.FAILED, Action.REPORT_TIMED_OUT: OrderState.TIMED_OUT}


@dataclass(frozen=True, slots=True)
class LookedAfter:
    """What one check of a run's open orders found: the numbers of orders.

    ``reported`` have a result in the bucket, or an answer to their approval; ``running`` were recorded as running;
    ``acted`` is how many orders have changed otherwise, by this check or since their rows were read.
    """

    reported: frozenset[str] = frozenset()
    running: frozenset[str] = frozenset()
    acted: int = 0


def look_after(
    ports: WatchdogPorts, run: RunRow, orders: Sequence[OpenOrder], waiting: Sequence[WaitingOrder] = ()
) -> LookedAfter:
    """Check a run's open orders once, end those whose end is proven, and record as running what a worker has claimed.

    ``waiting`` are the orders that wait for an approval. Raises the first error of a port after every order was
    checked.
    """
    if not orders and not waiting:
        return LookedAfter()
    run_id = run.run_id
    # Before the results: a build writes its result before it ends.
    ended = _ended_builds(ports, [(order, order.build_id) for order in orders if order.build_id is not None])
    stored = frozenset(ports.objects.list(keys.callbacks(run_id)))
    reported = frozenset(
        order.order_num for order in orders if keys.result(run_id, order.order_num, order.attempt) in stored
    )
    answered = frozenset(order.order_num for order in waiting if keys.answer(run_id, order.order_num) in stored)
    now = ports.clock.now()
    suspects = [order for order in orders if order.order_num not in reported and needs_claim(order, ended, now)]
    answers = ports.parallel.run([partial(_check, ports, run, order, stored, ended) for order in suspects])
    for answer in answers:
        if isinstance(answer, IacCiError):
            raise answer
    done = list(zip(suspects, answers, strict=True))
    running = frozenset(order.order_num for order, action in done if action is Action.RECORD_RUNNING)
    # The number of a build, which the next poll needs, is only in the row.
    is_known = {order.order_num for order in orders if order.target is not ExecutionTarget.CODEBUILD} & running
    acted = sum(action is not Action.WAIT and order.order_num not in is_known for order, action in done)
    return LookedAfter(reported | answered, running, acted)


def _check(
    ports: WatchdogPorts, run: RunRow, order: OpenOrder, stored: AbstractSet[str], ended: AbstractSet[str]
) -> Action:
    """Check one order and return what was done."""
    run_id = run.run_id
    is_claimed = keys.claim(run_id, order.order_num, order.attempt) in stored
    readable = read_claim(ports, run_id, order.order_num, order.attempt) if is_claimed else None
    claim = _latest_claim(run, order) if is_claimed and readable is None else readable
    build_id = build_of(order, claim)
    if build_id is not None and build_id != order.build_id:
        ended = _ended_builds(ports, [(order, build_id)])
    decision = decide_order(order, claim, ended, ports.clock.now())
    if decision.action is Action.WAIT:
        return Action.WAIT
    if decision.action is Action.RECORD_RUNNING:
        if readable is None:
            # When it began is not known.
            return Action.WAIT
        return Action.RECORD_RUNNING if _record_running(ports, run, order, readable) else Action.READ_AGAIN
    if not _apply(ports, run_id, order, claim, decision):
        return Action.READ_AGAIN
    logger = ports.logger.bind(run_id=run_id, order_num=order.order_num)
    logger.warning("watchdog repaired run", action=decision.action.value, seen=decision.seen)
    return decision.action


def _ended_builds(ports: WatchdogPorts, builds: Sequence[tuple[OpenOrder, str]]) -> frozenset[str]:
    """Return those of the builds of these orders that have certainly ended."""
    now = ports.clock.now()
    new = frozenset(build_id for order, build_id in builds if is_new_build(order.dispatched_at, now))
    return ports.workers.ended_builds([build_id for _, build_id in builds], new=new)


def _latest_claim(run: RunRow, order: OpenOrder) -> Claim:
    """Return what stands for a claim that cannot be read: some worker made it while it could get a URL for it."""
    latest = (order.order_deadline or run.deadline) + timedelta(seconds=order.grace + STOP_GRACE_SECONDS)
    return Claim(run_id=run.run_id, order_num=order.order_num, claimed_by=Reporter.WORKER, claimed_at=latest)


def _record_running(ports: WatchdogPorts, run: RunRow, order: OpenOrder, claim: Claim) -> bool:
    """Write that an order runs, which a pass leaves out that has nothing else to write; return False if it changed."""
    row = ports.runs.find_order(run.run_id, order.order_num)
    if row is None or row.status is not OrderState.DISPATCHING or row.dispatched_at != order.dispatched_at:
        return False
    changes = {
        "status": OrderState.RUNNING,
        "started_at": claim.claimed_at,
        "build_id": build_of(order, claim),
        "reason": None,
    }
    running = row.model_copy(update=changes)
    return not ports.runs.apply([Transition(row, running, order_event(run, running, claim.claimed_at))])


def _apply(ports: WatchdogPorts, run_id: str, order: OpenOrder, claim: Claim | None, decision: Decision) -> bool:
    """Do what was decided; return False if the order has changed since it was read."""
    build_id = build_of(order, claim)
    if decision.action is Action.STOP_BUILD:
        if build_id is not None:
            ports.workers.stop_build(build_id)
        return True
    row = ports.runs.find_order(run_id, order.order_num)
    if row is None or row.status not in OPEN or row.dispatched_at != order.dispatched_at:
        return False
    if claim is None and not prevent_start(ports.objects, row, reporter=Reporter.WATCHDOG, now=ports.clock.now()):
        # A worker has begun it in the meantime.
        return False
    end(ports, row, _STATES[decision.action], decision.seen)
    return True


def end(ports: WatchdogPorts, order: OrderRow, status: OrderState, reason: str) -> None:
    """End an order whose worker will certainly write no result any more; a result that exists already counts."""
    written = force_end(
        ports.objects, ports.workers, order, status, reason, reporter=Reporter.WATCHDOG, now=ports.clock.now()
    )
    if not written:
        # The worker has written its result, and its event may be lost.
        nudge(ports.objects, order.run_id)
