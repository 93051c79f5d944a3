"""What a run waits for and whether anything is wrong: pure. A snapshot of the run in, findings out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from iac_ci_cli.diagnosis_orders import order_findings
from iac_ci_cli.findings import MENDS_ITSELF, PATIENCE, Finding, Level, wake_it
from iac_ci_cli.times import span
from iac_ci_common import limits
from iac_ci_common.command_lines import command_line
from iac_ci_common.states import RUN_TERMINAL, OrderState, RunState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from iac_ci_common.models.answer import StoredJob
    from iac_ci_common.models.lock import Lock
    from iac_ci_common.models.result import Claim, Result
    from iac_ci_common.models.rows import OrderRow, RunRow


class WatchdogState(StrEnum):
    """Whether something looks after a run or an order."""

    RUNNING = "running"
    ENDED = "ended"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """Everything known of a run at one moment.

    ``claims`` and ``results`` are those of open orders, by order number; ``signs`` are their workers' last signs of
    life; ``last_event`` is the time of the newest event. ``options`` name the stack in a command line, with a space in
    front. ``open_lists`` are the stack's lists that let every source use everything.
    """

    run_id: str
    stack: str
    now: datetime
    job: StoredJob | None
    run: RunRow | None
    orders: Sequence[OrderRow]
    lock: Lock | None
    watchdog: WatchdogState
    claims: Mapping[str, Claim] = field(default_factory=dict)
    results: Mapping[str, Result] = field(default_factory=dict)
    signs: Mapping[str, datetime] = field(default_factory=dict)
    ended_builds: AbstractSet[str] = frozenset()
    last_event: datetime | None = None
    options: str = ""
    open_lists: Sequence[str] = ()

    def command(self, name: str, *more: str) -> str:
        """Return the command line that runs a command on this run."""
        return command_line(name, self.run_id, *more, options=self.options)

    @property
    def nudge(self) -> str:
        """The next step that wakes the run."""
        return wake_it(self.run_id, self.options)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a run waits for, in one sentence, and all findings."""

    waits_for: str
    findings: tuple[Finding, ...] = ()

    @property
    def healthy(self) -> bool:
        """Return whether the engine is not stuck. A run that failed is healthy: the engine did its part."""
        return all(finding.level is Level.INFO for finding in self.findings)


_ENDED: Final = {
    RunState.SUCCEEDED: "succeeded",
    RunState.FAILED: "failed",
    RunState.TIMED_OUT: "timed out",
    RunState.CANCELLED: "was cancelled",
}
_NAMED: Final = 5
_REASON_CHARS: Final = 300

_LATE_END: Final = timedelta(seconds=limits.STOP_GRACE_SECONDS) + PATIENCE


def diagnose(snapshot: RunSnapshot) -> Diagnosis:
    """Return what a run waits for and what is wrong; a delay that ends by itself within moments is not wrong."""
    diagnosis = _of_run(snapshot)
    return Diagnosis(diagnosis.waits_for, (*diagnosis.findings, *_open_lists(snapshot)))


def _of_run(snapshot: RunSnapshot) -> Diagnosis:
    if snapshot.run is None:
        return _unprepared(snapshot)
    if snapshot.run.status in RUN_TERMINAL:
        return _ended(snapshot, snapshot.run)
    waits_for, about_orders = order_findings(
        snapshot.run,
        snapshot.orders,
        claims=snapshot.claims,
        results=snapshot.results,
        signs=snapshot.signs,
        ended_builds=snapshot.ended_builds,
        quiet_since=_quiet_since(snapshot, snapshot.run),
        now=snapshot.now,
        stack=snapshot.stack,
        options=snapshot.options,
    )
    about_run = (
        *_time(snapshot, snapshot.run.deadline),
        *_watchdog(snapshot),
        *_lock(snapshot),
        *_requests(snapshot.run),
    )
    return Diagnosis(waits_for, (*about_run, *about_orders))


def _unprepared(snapshot: RunSnapshot) -> Diagnosis:
    if snapshot.job is None:
        return Diagnosis("there is no such run")
    age = snapshot.now - snapshot.job.accepted_at
    log = f"The log of the preparation is /aws/lambda/{snapshot.stack}-init-job."
    findings = [*_time(snapshot, snapshot.job.deadline), *_watchdog(snapshot)]
    attempts = limits.PREPARATION_ATTEMPTS
    if age >= timedelta(seconds=limits.PREPARATION_SECONDS * attempts) + PATIENCE:
        message = f"It was accepted {span(age)} ago, and its preparation has neither succeeded nor failed."
        findings.append(Finding("preparation-stuck", Level.TROUBLE, message, f"{snapshot.nudge} {log}"))
    elif age >= timedelta(seconds=limits.PREPARATION_SECONDS):
        message = f"It was accepted {span(age)} ago and is not prepared yet."
        next_step = f"Its watchdog repeats the preparation; after {attempts} attempts the run fails. {log}"
        findings.append(Finding("preparation-late", Level.TROUBLE, message, next_step))
    return Diagnosis(f"its preparation: its code and secrets have been collected for {span(age)}", tuple(findings))


def _ended(snapshot: RunSnapshot, run: RunRow) -> Diagnosis:
    outcome = f"run {_ENDED.get(run.status, run.status.value)}"
    if snapshot.lock is not None and snapshot.lock.completed:
        return Diagnosis(f"nothing: the {outcome}", tuple(_unsuccessful(snapshot, run)))
    age = snapshot.now - (run.finished_at or run.deadline)
    late = age > PATIENCE and not (snapshot.lock is not None and snapshot.lock.held(snapshot.now))
    finding = Finding(
        "finish-incomplete",
        Level.TROUBLE if late else Level.INFO,
        f"The {outcome} {span(age)} ago; its done marker, comment and clean-up are not complete.",
        f"{MENDS_ITSELF} {snapshot.nudge}" if late else None,
    )
    findings = (finding, *_watchdog(snapshot), *_lock(snapshot), *_unsuccessful(snapshot, run))
    return Diagnosis("its done marker, comment and clean-up to be finished", findings)


def _unsuccessful(snapshot: RunSnapshot, run: RunRow) -> list[Finding]:
    """Return why a run did not succeed and where to read more; nothing where it succeeded."""
    if run.status is RunState.SUCCEEDED:
        return []
    reason = f": {run.reason}" if run.reason else ""
    message = f"The run {_ENDED.get(run.status, run.status.value)}{reason}."
    failed = [order for order in snapshot.orders if order.status in {OrderState.FAILED, OrderState.TIMED_OUT}]
    if not failed:
        return [Finding("run-failed", Level.INFO, message, f"See `{snapshot.command('events')}`.")]
    more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
    names = "; ".join(_why(order) for order in failed[:_NAMED])
    next_step = f"Read the log with `{snapshot.command('logs', failed[0].order_name)}`."
    return [Finding("run-failed", Level.INFO, f"{message} Orders that failed: {names}{more}.", next_step)]


def _why(order: OrderRow) -> str:
    """Return an order's name and, as far as it is stored, why it did not succeed."""
    reason = " ".join((order.reason or "").split()).rstrip(".")
    shown = reason if len(reason) <= _REASON_CHARS else f"{reason[:_REASON_CHARS]} …"
    return f"{order.order_name} ({shown})" if shown else order.order_name


def _quiet_since(snapshot: RunSnapshot, run: RunRow) -> datetime:
    """Return the time of the last activity. A run without a lock may just have been prepared."""
    if snapshot.lock is None:
        return run.accepted_at + timedelta(seconds=limits.PREPARATION_SECONDS)
    if snapshot.lock.held(snapshot.now):
        return snapshot.now
    return max(snapshot.last_event or run.accepted_at, run.accepted_at)


def _time(snapshot: RunSnapshot, deadline: datetime) -> list[Finding]:
    over = snapshot.now - deadline
    if over <= timedelta():
        return []
    message = f"The run's deadline passed {span(over)} ago."
    if over <= _LATE_END:
        return [Finding("deadline-passed", Level.INFO, f"{message} The engine is ending it.")]
    return [Finding("deadline-passed", Level.TROUBLE, f"{message} It should have ended.", snapshot.nudge)]


def _watchdog(snapshot: RunSnapshot) -> list[Finding]:
    if snapshot.watchdog is WatchdogState.RUNNING:
        return []
    message = "The run's watchdog has ended" if snapshot.watchdog is WatchdogState.ENDED else "The run has no watchdog"
    next_step = (
        f"`{snapshot.command('nudge')}` starts one. The reason is in Step Functions under {snapshot.stack}-watchdog."
    )
    message += ": nothing wakes the run if an event is lost."
    return [Finding("watchdog-gone", Level.TROUBLE, message, next_step)]


def _lock(snapshot: RunSnapshot) -> list[Finding]:
    lock = snapshot.lock
    if lock is None or lock.owner is None or lock.lease_until is None or lock.completed:
        return []
    if lock.held(snapshot.now):
        left = span(lock.lease_until - snapshot.now)
        message = f"The orchestrator works on it (lock holder {lock.owner}, lease for another {left})."
        return [Finding("lock-held", Level.INFO, message)]
    over = snapshot.now - lock.lease_until
    message = f"The run's lock was not released: its holder {lock.owner} is gone, and the lease ended {span(over)} ago."
    if over <= PATIENCE:
        return [Finding("lock-expired", Level.INFO, f"{message} The next event or the watchdog takes over.")]
    # No one needs the lock while nothing happens: an expired lease alone delays nothing.
    return [Finding("lock-expired", Level.INFO, f"{message} The next event takes the lock over.")]


def _open_lists(snapshot: RunSnapshot) -> list[Finding]:
    if not snapshot.open_lists:
        return []
    named = " and ".join(snapshot.open_lists)
    message = f"Every source without an entry of its own may use everything in {named} of the stack {snapshot.stack}."
    next_step = "The next version grants nothing by default: name the sources in secret_allow_list and role_allow_list."
    return [Finding("lists-open", Level.INFO, message, next_step)]


def _requests(run: RunRow) -> list[Finding]:
    found = []
    if run.cancel_reason is not None:
        rest = "running orders are asked to stop" if run.stop_reason is not None else "running orders finish"
        message = f"It was cancelled ({run.cancel_reason}): queued orders do not start, {rest}."
        found.append(Finding("cancelled", Level.INFO, message))
    if run.preparation_error is not None:
        found.append(Finding("unpreparable", Level.INFO, f"It could not be prepared: {run.preparation_error}"))
    return found
