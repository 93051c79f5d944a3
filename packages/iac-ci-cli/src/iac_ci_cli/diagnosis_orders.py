"""What the orders of a run wait for: pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_cli.findings import MENDS_ITSELF, PATIENCE, Finding, Level, wake_it
from iac_ci_cli.times import span
from iac_ci_common import limits
from iac_ci_common.execution_life import latest_end
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
_SILENT: Final = timedelta(seconds=limits.SILENT_SECONDS)
_NO_WORKER: Final = timedelta(minutes=5)
"""A build starts within a minute or two, a function within seconds; an order that waits longer waits for a limit."""


@dataclass(frozen=True, slots=True)
class _Context:
    run: RunRow
    claims: Mapping[str, Claim]
    results: Mapping[str, Result]
    signs: Mapping[str, datetime]
    ended_builds: AbstractSet[str]
    quiet_since: datetime
    now: datetime
    stack: str
    options: str

    @property
    def nudge(self) -> str:
        return f"{MENDS_ITSELF} {wake_it(self.run.run_id, self.options)}"


def order_findings(
    run: RunRow,
    orders: Sequence[OrderRow],
    *,
    claims: Mapping[str, Claim],
    results: Mapping[str, Result],
    signs: Mapping[str, datetime],
    ended_builds: AbstractSet[str],
    quiet_since: datetime,
    now: datetime,
    stack: str,
    options: str,
) -> tuple[str, list[Finding]]:
    """Return in one sentence what a run that has not ended waits for, and the findings about its orders."""
    context = _Context(run, claims, results, signs, ended_builds, quiet_since, now, stack, options)
    open_orders = [order for order in orders if order.status in OPEN]
    queued = [order for order in orders if order.status is OrderState.QUEUED]
    findings = [_open(order, context) for order in open_orders]
    findings += _queued(queued, orders, len(open_orders), context)
    if all(order.status in TERMINAL for order in orders):
        message = f"Every order has ended, the last event is {span(now - quiet_since)} old, and the run has not ended."
        findings.append(_undone("run-not-ended", message, context))
    return _waits_for(open_orders, queued), findings


def _waits_for(open_orders: Sequence[OrderRow], queued: Sequence[OrderRow]) -> str:
    asked = [order for order in queued if order.awaits_answer]
    if asked and not open_orders:
        return f"an approval ({_names(asked)})"
    if open_orders:
        behind = f" ({len(queued)} queued)" if queued else ""
        return f"{_names(open_orders)} to end{behind}"
    in_line = next((order for order in queued if order.waiting_for is not None), None)
    if in_line is not None:
        return f"{in_line.waiting_for} ({len(queued)} queued)"
    return f"the orchestrator to start or end {_names(queued)}" if queued else "the orchestrator to end it"


def _open(order: OrderRow, context: _Context) -> Finding:
    since = order.dispatched_at or context.run.accepted_at
    result = context.results.get(order.order_num)
    if result is not None:
        return _reported(order, result, context)
    claim = context.claims.get(order.order_num)
    taken_by_another = claim is not None and order.build_id is not None and claim.is_of_another_build(order.build_id)
    if order.build_id is not None and order.build_id in context.ended_builds and not taken_by_another:
        message = f"The build of {order.order_name} has ended without a result: its worker is gone."
        next_step = f"The run's watchdog reports it as failed within a minute. The build is {order.build_id}."
        return Finding("worker-gone", Level.TROUBLE, message, next_step, order.order_name)
    if claim is not None:
        return _begun(order, claim, context)
    if order.status is OrderState.DISPATCHING:
        return _dispatch(order, context.now - since, context)
    return _without_worker(order, context.now - since, context)


def _reported(order: OrderRow, result: Result, context: _Context) -> Finding:
    age = context.now - result.ended_at
    late = age > PATIENCE
    message = f"{order.order_name} reported {result.status.value.replace('_', ' ')} {span(age)} ago"
    message += ", and the orchestrator has not processed it." if late else "; the orchestrator is about to process it."
    level = Level.TROUBLE if late else Level.INFO
    return Finding("result-unprocessed", level, message, context.nudge if late else None, order.order_name)


def _begun(order: OrderRow, claim: Claim, context: _Context) -> Finding:
    age = context.now - claim.claimed_at
    if claim.claimed_by is not Reporter.WORKER:
        message = f"The {claim.claimed_by} has been ending {order.order_name} for its worker for {span(age)}."
        late = age > PATIENCE
        level = Level.TROUBLE if late else Level.INFO
        return Finding("ending-from-outside", level, message, context.nudge if late else None, order.order_name)
    allowed = timedelta(seconds=order.timeout)
    if age > allowed + timedelta(seconds=order.grace) + _GRACE:
        since = f"{claim.claimed_at:%H:%M} UTC, {span(age)} ago"
        message = f"{order.order_name} may take {span(allowed)}: no sign of life of its worker since {since}."
        latest = latest_end(order.target, order.timeout, order.grace, claim.claimed_at)
        next_step = (
            "Silence ends nothing. The run's watchdog ends the order when its build or function has ended, at"
            f" {latest:%H:%M} UTC at the latest. Its log is in {_worker(order, context)}."
        )
        return Finding("worker-silent", Level.TROUBLE, message, next_step, order.order_name)
    message = f"{order.order_name} has been running for {span(age)} and may take {span(allowed)}."
    sign = context.signs.get(order.order_num)
    if sign is not None and context.now - sign > _SILENT:
        message += f" No sign of life since {sign:%H:%M} UTC."
        next_step = f"Silence alone ends nothing: it ends at its time-out. Its log is in {_worker(order, context)}."
        return Finding("no-sign-of-life", Level.TROUBLE, message, next_step, order.order_name)
    return Finding("running", Level.INFO, message, order_name=order.order_name)


def _dispatch(order: OrderRow, age: timedelta, context: _Context) -> Finding:
    message = f"The orchestrator has been starting a worker for {order.order_name} for {span(age)}"
    if order.reason and age <= _REDO + PATIENCE:
        message = f"AWS starts no worker for {order.order_name} now. The order {order.reason}."
        next_step = "It is tried again every minute. To raise the limit, see docs/operations.md."
        return Finding("waiting-for-capacity", Level.INFO, message, next_step, order.order_name)
    if age <= _REDO:
        return Finding("dispatching", Level.INFO, f"{message}.", order_name=order.order_name)
    message += ": the attempt was interrupted or AWS throttled it"
    if age <= _REDO + PATIENCE:
        return Finding("dispatching", Level.INFO, f"{message}; it is repeated.", order_name=order.order_name)
    message += ", and it was not repeated."
    next_step = f"{context.nudge} The reason is in /aws/lambda/{context.stack}-orchestrator, as `dispatch failed`."
    return Finding("dispatching-long", Level.TROUBLE, message, next_step, order.order_name)


def _without_worker(order: OrderRow, age: timedelta, context: _Context) -> Finding:
    message = f"{order.order_name} was sent to a worker {span(age)} ago, and no worker has begun it yet"
    if age <= _NO_WORKER:
        return Finding("waiting-for-worker", Level.INFO, f"{message}.", order_name=order.order_name)
    limit = (
        "CodeBuild concurrency"
        if order.target is ExecutionTarget.CODEBUILD
        else f"{context.stack}-worker function's concurrency"
    )
    next_step = (
        f"Probably the {limit} limit is reached: it starts when others end. To raise it, see docs/operations.md."
    )
    return Finding("waiting-for-worker", Level.TROUBLE, f"{message}.", next_step, order.order_name)


def _worker(order: OrderRow, context: _Context) -> str:
    if order.build_id is not None:
        return f"the build {order.build_id}"
    return f"/aws/lambda/{context.stack}-worker"


def _queued(
    queued: Sequence[OrderRow], orders: Sequence[OrderRow], open_count: int, context: _Context
) -> list[Finding]:
    if not queued:
        return []
    run = context.run
    if run.cancel_reason or run.preparation_error or context.now >= run.deadline:
        return [
            _undone("queued-not-ended", f"Still queued, though no order may start any more: {_names(queued)}.", context)
        ]
    by_num = {order.order_num: order for order in orders}
    by_state: dict[Readiness, list[OrderRow]] = {state: [] for state in Readiness}
    findings = [_awaiting(order, context) for order in queued if order.awaits_answer]
    for order in queued:
        if order.awaits_answer:
            continue
        by_state[readiness(order, by_num)[0]].append(order)
    waiting = by_state[Readiness.WAITING]
    in_line = [order for order in by_state[Readiness.READY] if order.waiting_for is not None]
    ready = [order for order in by_state[Readiness.READY] if order.waiting_for is None]
    blocked = [*by_state[Readiness.BLOCKED], *by_state[Readiness.NOT_NEEDED]]
    if blocked:
        message = f"These can never start, and are not skipped yet: {_names(blocked)}."
        findings.append(_undone("blocked-not-skipped", message, context))
    if waiting:
        message = f"Waiting for other orders to end: {_names(waiting)}."
        findings.append(Finding("waiting-for-dependencies", Level.INFO, message))
    findings += [
        Finding(
            "waiting-for-others",
            Level.INFO,
            f"{order.order_name} waits for {order.waiting_for}.",
            order_name=order.order_name,
        )
        for order in in_line
    ]
    if ready and open_count >= run.max_parallel:
        number = "1 order runs" if run.max_parallel == 1 else f"{run.max_parallel} orders run"
        message = f"Ready, but {number} already (max_parallel): {_names(ready)}."
        findings.append(Finding("waiting-for-place", Level.INFO, message))
    elif ready:
        findings.append(_undone("ready-not-dispatched", f"Ready and not started: {_names(ready)}.", context))
    return findings


def _names(orders: Sequence[OrderRow]) -> str:
    more = f" and {len(orders) - 5} more" if len(orders) > 5 else ""
    return ", ".join(order.order_name for order in orders[:5]) + more


def _awaiting(order: OrderRow, context: _Context) -> Finding:
    message = f"{order.order_name} waits for {order.waiting_for}."
    if order.order_deadline is not None and context.now > order.order_deadline + PATIENCE:
        return _undone(
            "approval-not-expired", f"{message} The approval has expired and the order has not ended", context
        )
    approval = order.approval
    if approval is not None and approval.by:
        next_step = f"One of them comments on the pull request: /iac-ci approve {order.order_name}"
    else:
        next_step = f"iac-ci approve {order.run_id} {order.order_name}{context.options}"
    return Finding("waiting-for-approval", Level.INFO, message, next_step, order.order_name)


def _undone(kind: str, message: str, context: _Context) -> Finding:
    """Return a finding about a step that the orchestrator has not taken; it is trouble only after some time."""
    late = context.now - context.quiet_since > PATIENCE
    if not late:
        return Finding(kind, Level.INFO, f"{message} The orchestrator is about to do this.")
    next_step = f"{context.nudge} Errors are in /aws/lambda/{context.stack}-orchestrator."
    return Finding(kind, Level.TROUBLE, message, next_step)
