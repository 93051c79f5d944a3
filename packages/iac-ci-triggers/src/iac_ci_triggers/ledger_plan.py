"""Plans the new ledger for decisions: pure. It is written before any effect, so that no effect happens twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_triggers.decide import BY_EVENT
from iac_ci_triggers.decisions import Approve, Cancel, Start
from iac_ci_triggers.ledger import MAX_RUNS, StartedRun

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from iac_ci_triggers.decisions import Decision
    from iac_ci_triggers.ledger import Ledger

KEPT: Final = timedelta(days=90)
"""How long a ledger is kept after its last change."""

REPEATED: Final = timedelta(hours=2)
"""How long a repeated start continues the same run: Lambda retries an event for an hour, and the run's stored job is
kept for a day. Later the same intent is only a duplicate."""


@dataclass(frozen=True, slots=True)
class Planned:
    """The new ledger, and the runs to accept: new ones, and recent ones whose acceptance may have been interrupted."""

    ledger: Ledger
    accept: tuple[tuple[StartedRun, Start], ...]
    duplicates: int


def plan(ledger: Ledger, decisions: Sequence[Decision], now: datetime, new_run_id: Callable[[], str]) -> Planned:
    """Return the ledger with the decisions, the runs to accept, and the number of duplicates."""
    runs = list(ledger.runs)
    accept: list[tuple[StartedRun, Start]] = []
    duplicates = 0
    for decision in decisions:
        if isinstance(decision, Cancel):
            named = set(decision.run_ids)
            runs = [
                run.model_copy(update={"cancel_reason": decision.reason}) if run.run_id in named else run
                for run in runs
            ]
        elif isinstance(decision, Approve):
            ledger = ledger.model_copy(update={"approved_sha": decision.sha, "approved_by": decision.by})
        elif isinstance(decision, Start):
            started = _same(runs, decision)
            if started is None:
                started = StartedRun(
                    run_id=new_run_id(),
                    job=decision.job_name,
                    sha=decision.sha,
                    intent=decision.intent,
                    started_at=now,
                )
                runs.append(started)
                accept.append((started, decision))
            elif now - started.started_at < REPEATED:
                accept.append((started, decision))
            else:
                duplicates += 1
    entered = ledger.model_copy(update={"runs": tuple(runs[-MAX_RUNS:]), "expires_at": now + KEPT})
    return Planned(entered, tuple(accept), duplicates)


def _same(runs: Sequence[StartedRun], start: Start) -> StartedRun | None:
    """Return the run that the same intent started before, None if there is none.

    An event starts a commit again if another commit came in between: a branch that was reset to it runs again.
    """
    equal = [run for run in runs if run.job == start.job_name and run.intent == start.intent]
    if start.intent == BY_EVENT:
        equal = [run for run in equal[-1:] if run.sha == start.sha]
    return equal[-1] if equal else None
