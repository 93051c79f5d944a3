"""Plans the new ledger for decisions: pure. It is written before any effect, so that no effect happens twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from iac_ci_common.purpose import SUPERSEDED
from iac_ci_triggers.decide import BY_EVENT
from iac_ci_triggers.decisions import (
    Answer,
    Approve,
    Cancel,
    LeaveOut,
    Pass,
    Remember,
    Say,
    SeeHead,
    SeeMerge,
    Settle,
    Start,
)
from iac_ci_triggers.ledger import (
    LONGEST_RUN,
    MAX_ANSWERS,
    MAX_COMMANDS,
    MAX_ENDED_RUNS,
    MAX_LEFT_OUT,
    MAX_PUSHERS,
    MAX_RUNS,
    GivenAnswer,
    LeftOutMinutes,
    ProcessedCommand,
    StartedRun,
)

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

ANSWERS_KEPT: Final = timedelta(days=1)
"""How long a person's ledger is kept after the last answer; a repeated event finds its answer there."""

COUNTED: Final = timedelta(hours=1)
"""How long an answer counts against its person's limit."""

_COMMANDS_KEPT: Final = timedelta(days=1)
"""How long a command is remembered. A comment older than an hour is not obeyed, so a command that is forgotten is not
run again; the rest of the day covers the attempts of Lambda and clocks that differ."""


class Asked(NamedTuple):
    """A comment: its id, and the permanent id of its author."""

    id: str
    by: str


@dataclass(frozen=True, slots=True)
class Planned:
    """The new ledger, and the runs to accept: new ones, and recent ones whose acceptance may have been interrupted.

    ``overtaken`` are runs of this command for another commit, base branch or configuration than the pull request has
    now. Their acceptance may have been interrupted and is not repeated, because the job would be another one.
    """

    ledger: Ledger
    accept: tuple[tuple[StartedRun, Start], ...]
    overtaken: tuple[StartedRun, ...]
    duplicates: int
    is_answered: bool = False


def plan(
    ledger: Ledger,
    decisions: Sequence[Decision],
    now: datetime,
    new_run_id: Callable[[], str],
) -> Planned:
    """Return the ledger with the decisions, the runs to accept, and the number of duplicates.

    ``is_answered`` says that a comment with these decisions gets an answer, if its author has not had too many.
    """
    runs = list(ledger.runs)
    accept: list[tuple[StartedRun, Start]] = []
    overtaken: list[StartedRun] = []
    duplicates = 0
    for decision in decisions:
        ledger = _entered(ledger, decision, now)
        if isinstance(decision, Cancel):
            named = set(decision.run_ids)
            runs = [
                run.model_copy(update={"cancel_reason": run.cancel_reason or decision.reason})
                if run.run_id in named
                else run
                for run in runs
            ]
        elif isinstance(decision, Start):
            started = _same(runs, decision)
            if started is None:
                started = StartedRun(
                    run_id=new_run_id(),
                    job=decision.job_name,
                    sha=decision.sha,
                    intent=decision.intent,
                    started_at=now,
                    base=decision.base,
                    configuration=decision.configuration,
                    by=decision.account,
                    at_base=decision.at_base,
                )
                runs.append(started)
                accept.append((started, decision))
            elif not started.is_for(decision.sha, decision.base, decision.configuration):
                overtaken.append(started)
            elif now - started.started_at < REPEATED:
                accept.append((started, decision))
            else:
                duplicates += 1
    left_out = [_minutes(one, accept) for one in decisions if isinstance(one, LeaveOut)]
    notices = {one.subject.value for one in decisions if isinstance(one, Say) and one.subject is not None}
    settled = {one.subject.value for one in decisions if isinstance(one, Settle)}
    is_answered = bool(overtaken) or any(map(_is_answered, decisions))
    changed = {
        "runs": _kept_runs(runs, now),
        "left_out": (*ledger.left_out, *(one for one in left_out if one not in ledger.left_out))[-MAX_LEFT_OUT:],
        "notices": tuple(sorted({*ledger.notices, *notices} - settled)),
        "expires_at": now + KEPT,
    }
    return Planned(ledger.model_copy(update=changed), tuple(accept), tuple(overtaken), duplicates, is_answered)


def _kept_runs(runs: Sequence[StartedRun], now: datetime) -> tuple[StartedRun, ...]:
    """Return the runs that the ledger keeps, in their order.

    Without the newest run of each job, its event would start it again; without a run that may be open, a newer commit
    would not cancel it.
    """
    newest = {(run.job, run.intent == BY_EVENT): run for run in runs}
    needed = {run.run_id for run in newest.values()}
    others = [run for run in reversed(runs) if run.run_id not in needed]
    may_be_open = [run for run in others if run.cancel_reason is None and now - run.started_at < LONGEST_RUN]
    ended = [run for run in others if run not in may_be_open][:MAX_ENDED_RUNS]
    needed |= {run.run_id for run in [*may_be_open, *ended][: max(0, MAX_RUNS - len(needed))]}
    return tuple(run for run in runs if run.run_id in needed)


def _entered(ledger: Ledger, decision: Decision, now: datetime) -> Ledger:
    """Return the ledger with what a decision enters besides runs."""
    if isinstance(decision, Approve):
        approval = {
            "approved_sha": decision.sha,
            "approved_base": decision.base,
            "approved_configuration": decision.configuration,
            "approved_by": decision.by,
        }
        return ledger.model_copy(update=approval)
    if isinstance(decision, SeeHead):
        return _with_head(ledger, decision)
    if isinstance(decision, SeeMerge):
        return ledger.model_copy(update={"merge": decision.merge})
    if isinstance(decision, Remember):
        return _remembered(ledger, decision, now)
    return _passed(ledger, decision) if isinstance(decision, Pass) else ledger


def _passed(ledger: Ledger, passed: Pass) -> Ledger:
    """Return the ledger in which a schedule's minutes are decided up to one."""
    schedules = tuple(
        known.model_copy(update={"decided": max(known.decided, passed.minute)}) if known.job == passed.job else known
        for known in ledger.schedules
    )
    return ledger.model_copy(update={"schedules": schedules})


def _minutes(left: LeaveOut, accept: Sequence[tuple[StartedRun, Start]]) -> LeftOutMinutes:
    """Return the entry of minutes that start nothing; if a run starts after them, it records them."""
    run_id = left.run_id or next((run.run_id for run, _ in accept), None)
    return LeftOutMinutes(
        job=left.job,
        first=left.minutes[0],
        last=left.minutes[-1],
        count=len(left.minutes),
        reason=left.reason,
        trigger_id=left.trigger_id,
        run_id=run_id,
    )


def _is_answered(decision: Decision) -> bool:
    """Return whether a comment gets an answer for a decision; some say then what came of it."""
    if isinstance(decision, Cancel):
        return decision.running
    if isinstance(decision, Answer):
        return True
    return isinstance(decision, Say) and decision.subject is None


def with_answer(ledger: Ledger, comment: Asked, now: datetime) -> tuple[Ledger, GivenAnswer | None]:
    """Return a person's ledger with the answer to a comment; None if the person had too many in the last hour."""
    known = next((answer for answer in ledger.answers if answer.comment_id == comment.id), None)
    if known is not None:
        return ledger, known
    recent = ledger.answers_since(now - COUNTED)
    if len(recent) >= MAX_ANSWERS:
        return ledger, None
    answer = GivenAnswer(comment_id=comment.id, by=comment.by, at=now, is_last=len(recent) == MAX_ANSWERS - 1)
    return ledger.model_copy(update={"answers": (*recent, answer), "expires_at": now + ANSWERS_KEPT}), answer


def _with_head(ledger: Ledger, seen: SeeHead) -> Ledger:
    known = {*ledger.pushers} | ({seen.pusher} if seen.pusher else set())
    pushers = ledger.pushers if len(known) > MAX_PUSHERS else tuple(sorted(known))
    head = {"head_sha": seen.sha, "head_seen_at": seen.at, "head_pushed_at": seen.pushed_at}
    return ledger.model_copy(update=head | {"pushers": pushers})


def _remembered(ledger: Ledger, decision: Remember, now: datetime) -> Ledger:
    if any(known.intent == decision.intent for known in ledger.commands):
        return ledger
    recent = [known for known in ledger.commands if now - known.at < _COMMANDS_KEPT]
    new = ProcessedCommand(intent=decision.intent, trigger_id=decision.trigger_id, at=now)
    return ledger.model_copy(update={"commands": (*recent[-MAX_COMMANDS + 1 :], new)})


def _same(runs: Sequence[StartedRun], start: Start) -> StartedRun | None:
    """Return the run that the same intent started before, None if there is none.

    An event starts a commit again if another commit, base branch or configuration came in between, which has a run or
    has superseded this one: a branch that was reset to it runs again. So does a pull request that was reopened.
    """
    equal = [run for run in runs if run.job == start.job_name and run.intent == start.intent]
    if start.intent == BY_EVENT:
        equal = [
            run
            for run in equal[-1:]
            if run.is_for(start.sha, start.base, start.configuration)
            and not (run.cancel_reason or "").startswith(SUPERSEDED)
            and (start.not_before is None or run.started_at >= start.not_before)
        ]
    return equal[-1] if equal else None
