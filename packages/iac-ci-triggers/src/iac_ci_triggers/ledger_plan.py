"""What decisions make of a ledger: pure. It is written before anything is done, so that nothing is done twice."""

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
"""How long a pull request may lie still before what was started there is forgotten."""

REPEATED: Final = timedelta(hours=2)
"""How long a start is done again under the same run: Lambda tries an event again for an hour, and what the run stored
lives for a day. Beyond that the same intent is a duplicate and nothing more."""


@dataclass(frozen=True, slots=True)
class Planned:
    """The ledger as it will be, and the runs to accept: new ones, and those whose acceptance may have been cut off."""

    ledger: Ledger
    accept: tuple[tuple[StartedRun, Start], ...]
    duplicates: int


def plan(ledger: Ledger, decisions: Sequence[Decision], now: datetime, new_run_id: Callable[[], str]) -> Planned:
    """Enter decisions into a ledger."""
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
            known = _same(runs, decision)
            if known is None:
                known = StartedRun(
                    run_id=new_run_id(),
                    job=decision.job_name,
                    sha=decision.sha,
                    intent=decision.intent,
                    started_at=now,
                )
                runs.append(known)
                accept.append((known, decision))
            elif now - known.started_at < REPEATED:
                accept.append((known, decision))
            else:
                duplicates += 1
    entered = ledger.model_copy(update={"runs": tuple(runs[-MAX_RUNS:]), "expires_at": now + KEPT})
    return Planned(entered, tuple(accept), duplicates)


def _same(runs: Sequence[StartedRun], start: Start) -> StartedRun | None:
    """Find the run that this very intent started before.

    An event asks for a commit anew once another commit has been in between: a branch that is turned back runs again.
    """
    alike = [run for run in runs if run.job == start.job_name and run.intent == start.intent]
    if start.intent == BY_EVENT:
        alike = [run for run in alike[-1:] if run.sha == start.sha]
    return alike[-1] if alike else None
