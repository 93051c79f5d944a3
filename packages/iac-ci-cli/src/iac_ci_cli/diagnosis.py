"""What a run waits for and whether anything is wrong: pure. What was seen in, findings in plain words out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from iac_ci_cli.diagnosis_orders import order_findings
from iac_ci_cli.findings import MENDS_ITSELF, NUDGE, PATIENCE, Finding, Level, span
from iac_ci_common import limits
from iac_ci_common.states import RUN_TERMINAL

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
class Seen:
    """Everything known of a run at one moment.

    ``claims`` and ``results`` are those of open orders, by order number; ``last_event`` is when the run's story went
    on last.
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
    ended_builds: AbstractSet[str] = frozenset()
    last_event: datetime | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a run waits for, in one sentence, and all that was found."""

    waits_for: str
    findings: tuple[Finding, ...] = ()

    @property
    def healthy(self) -> bool:
        """Return whether nothing is wrong. How the run ended, or will, is not asked."""
        return all(finding.level is Level.INFO for finding in self.findings)


_LATE_END: Final = timedelta(seconds=limits.STOP_GRACE_SECONDS) + PATIENCE


def diagnose(seen: Seen) -> Diagnosis:
    """Return what a run waits for and what is wrong with it; what mends itself within moments is not called wrong."""
    if seen.run is None:
        return _unprepared(seen)
    if seen.run.status in RUN_TERMINAL:
        return _ended(seen, seen.run)
    waits_for, about_orders = order_findings(
        seen.run,
        seen.orders,
        claims=seen.claims,
        results=seen.results,
        ended_builds=seen.ended_builds,
        quiet_since=_quiet_since(seen, seen.run),
        now=seen.now,
        stack=seen.stack,
    )
    return Diagnosis(
        waits_for, (*_time(seen, seen.run.deadline), *_watchdog(seen), *_lock(seen), *_wishes(seen.run), *about_orders)
    )


def _unprepared(seen: Seen) -> Diagnosis:
    if seen.job is None:
        return Diagnosis("there is no such run")
    age = seen.now - seen.job.accepted_at
    log = f"The log of its preparation is /aws/lambda/{seen.stack}-init-job."
    findings = [*_time(seen, seen.job.deadline), *_watchdog(seen)]
    attempts = limits.PREPARATION_ATTEMPTS
    if age >= timedelta(seconds=limits.PREPARATION_SECONDS * attempts) + PATIENCE:
        what = f"It was accepted {span(age)} ago and neither prepared nor given up."
        findings.append(Finding("preparation-stuck", Level.TROUBLE, what, f"{NUDGE.format(run=seen.run_id)} {log}"))
    elif age >= timedelta(seconds=limits.PREPARATION_SECONDS):
        what = f"It was accepted {span(age)} ago and is not prepared yet."
        then = f"Its watchdog prepares it again and gives it up after {attempts} times. {log}"
        findings.append(Finding("preparation-late", Level.TROUBLE, what, then))
    return Diagnosis(f"its preparation: its code and secrets are gathered since {span(age)}", tuple(findings))


def _ended(seen: Seen, run: RunRow) -> Diagnosis:
    said = f"The run {run.status.value.replace('_', ' ')}"
    if seen.lock is not None and seen.lock.completed:
        return Diagnosis(f"nothing: {said[0].lower()}{said[1:]}")
    age = seen.now - (run.finished_at or run.deadline)
    late = age > PATIENCE and not (seen.lock is not None and seen.lock.held(seen.now))
    finding = Finding(
        "finish-incomplete",
        Level.TROUBLE if late else Level.INFO,
        f"{said} {span(age)} ago, and what follows (done marker, comment, cleaning up) is not complete.",
        f"{MENDS_ITSELF} {NUDGE.format(run=run.run_id)}" if late else None,
    )
    return Diagnosis("its finish", (finding, *_watchdog(seen), *_lock(seen)))


def _quiet_since(seen: Seen, run: RunRow) -> datetime:
    """Say since when nothing has happened; a run that nobody looked at yet may just have been prepared."""
    if seen.lock is None:
        return run.accepted_at + timedelta(seconds=limits.PREPARATION_SECONDS)
    if seen.lock.held(seen.now):
        return seen.now
    return max(seen.last_event or run.accepted_at, run.accepted_at)


def _time(seen: Seen, deadline: datetime) -> list[Finding]:
    over = seen.now - deadline
    if over <= timedelta():
        return []
    what = f"The run's time was up {span(over)} ago."
    if over <= _LATE_END:
        return [Finding("deadline-passed", Level.INFO, f"{what} It is being ended.")]
    return [Finding("deadline-passed", Level.TROUBLE, f"{what} It should have ended.", NUDGE.format(run=seen.run_id))]


def _watchdog(seen: Seen) -> list[Finding]:
    if seen.watchdog is WatchdogState.RUNNING:
        return []
    what = "The run's watchdog has ended" if seen.watchdog is WatchdogState.ENDED else "The run has no watchdog"
    then = f"`iac-ci nudge {seen.run_id}` starts one. Why it ended is in Step Functions under {seen.stack}-watchdog."
    return [Finding("watchdog-gone", Level.TROUBLE, f"{what}: nothing wakes the run if an event is lost.", then)]


def _lock(seen: Seen) -> list[Finding]:
    lock = seen.lock
    if lock is None or lock.owner is None or lock.lease_until is None or lock.completed:
        return []
    if lock.held(seen.now):
        left = span(lock.lease_until - seen.now)
        what = f"The orchestrator is at work on it (holder {lock.owner}, lease for another {left})."
        return [Finding("lock-held", Level.INFO, what)]
    over = seen.now - lock.lease_until
    what = f"The orchestrator's last holder of the run's lock ({lock.owner}) is dead; its lease ended {span(over)} ago."
    if over <= PATIENCE:
        return [Finding("lock-expired", Level.INFO, f"{what} The next event or the watchdog takes over.")]
    # Nobody needs the lock while nothing happens: a dead holder alone holds up nothing.
    return [Finding("lock-expired", Level.INFO, f"{what} Whoever comes next takes it over.")]


def _wishes(run: RunRow) -> list[Finding]:
    found = []
    if run.cancel_reason is not None:
        what = f"It was cancelled ({run.cancel_reason}): what is queued does not start, what runs is let end."
        found.append(Finding("cancelled", Level.INFO, what))
    if run.preparation_error is not None:
        found.append(Finding("unpreparable", Level.INFO, f"It could not be prepared: {run.preparation_error}"))
    return found
