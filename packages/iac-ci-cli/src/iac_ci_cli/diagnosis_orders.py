"""What the orders of a run wait for: pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_cli.findings import MENDS_ITSELF, NUDGE, PATIENCE, Finding, Level, span
from iac_ci_common import limits
from iac_ci_common.graph import Readiness, readiness
from iac_ci_common.models.job import ExecutionTarget
from iac_ci_common.models.result import Reporter
from iac_ci_common.states import OPEN, TERMINAL, OrderState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from iac_ci_common.models.result import Claim, Result
    from iac_ci_common.models.rows import OrderRow, RunRow

_GRACE: Final = timedelta(seconds=limits.STOP_GRACE_SECONDS)
_REDO: Final = timedelta(seconds=limits.LEASE_SECONDS)
_NO_WORKER: Final = timedelta(minutes=5)
"""A build starts within a minute or two, a function within seconds; what waits longer waits for a limit."""


@dataclass(frozen=True, slots=True)
class _Look:
    run: RunRow
    claims: Mapping[str, Claim]
    results: Mapping[str, Result]
    ended_builds: AbstractSet[str]
    quiet_since: datetime
    now: datetime
    stack: str

    @property
    def nudge(self) -> str:
        return f"{MENDS_ITSELF} {NUDGE.format(run=self.run.run_id)}"


def order_findings(
    run: RunRow,
    orders: Sequence[OrderRow],
    *,
    claims: Mapping[str, Claim],
    results: Mapping[str, Result],
    ended_builds: AbstractSet[str],
    quiet_since: datetime,
    now: datetime,
    stack: str,
) -> tuple[str, list[Finding]]:
    """Say in one sentence what a run that has not ended waits for, and what was found about its orders."""
    look = _Look(run, claims, results, ended_builds, quiet_since, now, stack)
    open_orders = [order for order in orders if order.status in OPEN]
    queued = [order for order in orders if order.status is OrderState.QUEUED]
    findings = [_open(order, look) for order in open_orders]
    findings += _queued(queued, orders, len(open_orders), look)
    if all(order.status in TERMINAL for order in orders):
        what = f"Every order has ended, the last thing happened {span(now - quiet_since)} ago, and the run has not."
        findings.append(_undone("run-not-ended", what, look))
    return _waits_for(open_orders, queued), findings


def _waits_for(open_orders: Sequence[OrderRow], queued: Sequence[OrderRow]) -> str:
    if open_orders:
        behind = f" ({len(queued)} queued)" if queued else ""
        return f"{_names(open_orders)} to end{behind}"
    return f"the orchestrator to start or end {_names(queued)}" if queued else "the orchestrator to end it"


def _open(order: OrderRow, look: _Look) -> Finding:
    since = order.dispatched_at or look.run.accepted_at
    result = look.results.get(order.order_num)
    if result is not None:
        return _reported(order, result, look)
    claim = look.claims.get(order.order_num)
    taken_by_another = claim is not None and order.build_id is not None and claim.is_of_another_build(order.build_id)
    if order.build_id is not None and order.build_id in look.ended_builds and not taken_by_another:
        what = f"The build of {order.order_name} has ended and left no result: its worker is gone."
        then = f"Its watchdog reports it as failed within a minute. The build is {order.build_id}."
        return Finding("worker-gone", Level.TROUBLE, what, then, order.order_name)
    if claim is not None:
        return _begun(order, claim, look)
    if order.status is OrderState.DISPATCHING:
        return _dispatching(order, look.now - since, look)
    return _without_worker(order, look.now - since, look)


def _reported(order: OrderRow, result: Result, look: _Look) -> Finding:
    age = look.now - result.ended_at
    late = age > PATIENCE
    what = f"{order.order_name} reported {result.status.value.replace('_', ' ')} {span(age)} ago"
    what += ", and nobody has taken that in." if late else "; that is about to be taken in."
    level = Level.TROUBLE if late else Level.INFO
    return Finding("result-unprocessed", level, what, look.nudge if late else None, order.order_name)


def _begun(order: OrderRow, claim: Claim, look: _Look) -> Finding:
    age = look.now - claim.claimed_at
    if claim.claimed_by is not Reporter.WORKER:
        what = f"{order.order_name} is being ended from outside by the {claim.claimed_by} since {span(age)}."
        late = age > PATIENCE
        level = Level.TROUBLE if late else Level.INFO
        return Finding("ending-from-outside", level, what, look.nudge if late else None, order.order_name)
    allowed = timedelta(seconds=order.timeout)
    if age > allowed + timedelta(seconds=limits.WORKER_START_SECONDS) + _GRACE:
        what = f"The worker of {order.order_name} began {span(age)} ago, may take {span(allowed)} and is silent."
        then = f"Its watchdog reports it as timed out within a minute. Its log is in {_worker(order, look)}."
        return Finding("worker-silent", Level.TROUBLE, what, then, order.order_name)
    what = f"{order.order_name} runs since {span(age)} and may take {span(allowed)}."
    return Finding("running", Level.INFO, what, order_name=order.order_name)


def _dispatching(order: OrderRow, age: timedelta, look: _Look) -> Finding:
    what = f"{order.order_name} is being handed to a worker since {span(age)}"
    if age <= _REDO:
        return Finding("dispatching", Level.INFO, f"{what}.", order_name=order.order_name)
    what += ": the attempt died or AWS asked for fewer requests"
    if age <= _REDO + PATIENCE:
        return Finding("dispatching", Level.INFO, f"{what}; it is made again.", order_name=order.order_name)
    then = f"{look.nudge} Why it failed is in /aws/lambda/{look.stack}-orchestrator, as `dispatch failed`."
    return Finding("dispatching-long", Level.TROUBLE, f"{what}, and nobody made it again.", then, order.order_name)


def _without_worker(order: OrderRow, age: timedelta, look: _Look) -> Finding:
    what = f"{order.order_name} was handed over {span(age)} ago and no worker has begun it yet"
    if age <= _NO_WORKER:
        return Finding("waiting-for-worker", Level.INFO, f"{what}.", order_name=order.order_name)
    limit = (
        "concurrent builds of CodeBuild"
        if order.target is ExecutionTarget.CODEBUILD
        else f"concurrency of the function {look.stack}-worker"
    )
    then = f"Probably the {limit} is used up: it starts when others have ended. To raise it, see docs/operations.md."
    return Finding("waiting-for-worker", Level.TROUBLE, f"{what}.", then, order.order_name)


def _worker(order: OrderRow, look: _Look) -> str:
    if order.build_id is not None:
        return f"the build {order.build_id}"
    return f"/aws/lambda/{look.stack}-worker"


def _queued(queued: Sequence[OrderRow], orders: Sequence[OrderRow], open_count: int, look: _Look) -> list[Finding]:
    if not queued:
        return []
    run = look.run
    if run.cancel_reason or run.preparation_error or look.now >= run.deadline:
        return [
            _undone("queued-not-ended", f"Still queued, though nothing may start any more: {_names(queued)}.", look)
        ]
    by_num = {order.order_num: order for order in orders}
    by_state: dict[Readiness, list[OrderRow]] = {state: [] for state in Readiness}
    for order in queued:
        by_state[readiness(order, by_num)[0]].append(order)
    blocked, waiting, ready = (by_state[state] for state in (Readiness.BLOCKED, Readiness.WAITING, Readiness.READY))
    findings = []
    if blocked:
        findings.append(_undone("blocked-not-skipped", f"Can never start and not skipped: {_names(blocked)}.", look))
    if waiting:
        what = f"Waiting for others to end: {_names(waiting)}."
        findings.append(Finding("waiting-for-dependencies", Level.INFO, what))
    if ready and open_count >= run.max_parallel:
        what = f"Ready, and waiting for one of the run's {run.max_parallel} places (max_parallel): {_names(ready)}."
        findings.append(Finding("waiting-for-place", Level.INFO, what))
    elif ready:
        findings.append(_undone("ready-not-dispatched", f"Ready and not dispatched: {_names(ready)}.", look))
    return findings


def _names(orders: Sequence[OrderRow]) -> str:
    more = f" and {len(orders) - 5} more" if len(orders) > 5 else ""
    return ", ".join(order.order_name for order in orders[:5]) + more


def _undone(kind: str, what: str, look: _Look) -> Finding:
    """Find that the orchestrator has not done its part: wrong only once it had time to."""
    late = look.now - look.quiet_since > PATIENCE
    if not late:
        return Finding(kind, Level.INFO, f"{what} The orchestrator is about to see to it.")
    then = f"{look.nudge} Errors are in /aws/lambda/{look.stack}-orchestrator."
    return Finding(kind, Level.TROUBLE, what, then)
