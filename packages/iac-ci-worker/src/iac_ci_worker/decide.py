"""What a worker makes of what it saw: pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from iac_ci_common.limits import LOG_TAIL_BYTES, WORKER_START_SECONDS
from iac_ci_common.states import OrderState

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.work import Work


class Ending(StrEnum):
    """Why the commands are no longer running."""

    EXITED = "exited"
    TIMED_OUT = "timed_out"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the commands ended. ``command`` counts from 0 and is the last one that was started."""

    ending: Ending
    exit_code: int | None
    command: int
    commands: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the result will say."""

    status: OrderState
    reason: str | None
    failed: bool


def seconds_left(work: Work, claimed_at: datetime, now: datetime) -> float:
    """Return how long the commands may take: the order's time-out, cut to the moment after which it is too late.

    That is the order's deadline or, before it, the moment from which on whoever sees the claim believes us dead.
    """
    since_claim = work.timeout + WORKER_START_SECONDS - (now - claimed_at).total_seconds()
    return min(float(work.timeout), since_claim, (work.not_after - now).total_seconds())


def verdict(outcome: Outcome, allowed: float) -> Verdict:
    """Judge how the commands ended."""
    which = f"command {outcome.command + 1} of {outcome.commands}"
    if outcome.ending is Ending.TIMED_OUT:
        return Verdict(OrderState.TIMED_OUT, f"{which} was stopped: {allowed:.0f} seconds were over", failed=True)
    if outcome.ending is Ending.STOPPED:
        return Verdict(OrderState.CANCELLED, f"{which} was stopped: the worker was asked to end", failed=True)
    if outcome.exit_code == 0:
        return Verdict(OrderState.SUCCEEDED, None, failed=False)
    if outcome.exit_code is not None and outcome.exit_code < 0:
        return Verdict(OrderState.FAILED, f"{which} was killed by signal {-outcome.exit_code}", failed=True)
    return Verdict(OrderState.FAILED, f"{which} ended with exit code {outcome.exit_code}", failed=True)


def log_tail(log: bytes, *, whole: int) -> tuple[str, bool]:
    """Cut the end of a log to what a result holds, at a line; say whether something was left out.

    ``log`` may itself be only the end of a log of ``whole`` bytes.
    """
    cut = len(log) < whole
    tail = log
    while True:
        if cut or len(tail) > LOG_TAIL_BYTES:
            cut = True
            tail = tail[-LOG_TAIL_BYTES:]
            line = tail.find(b"\n")
            tail = tail[line + 1 :] if 0 <= line < len(tail) - 1 else tail
        text = tail.decode("utf-8", "replace")
        if len(text.encode()) <= LOG_TAIL_BYTES:
            return text, cut
        # Bytes that are no UTF-8 grow to three each.
        cut = True
        tail = tail[len(tail) // 3 :]
