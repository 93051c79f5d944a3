"""Decides an order's result from the outcome of its commands: pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from iac_ci_common.limits import LOG_TAIL_BYTES
from iac_ci_common.states import OrderState

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.work import Work
    from iac_ci_plans import Reading


class Ending(StrEnum):
    """The reason why the commands ended."""

    EXITED = "exited"
    TIMED_OUT = "timed_out"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of the commands. ``command`` is the index (from 0) of the last one that was started.

    ``plans`` is what was read of plans in what the commands printed, before anything was masked.
    """

    ending: Ending
    exit_code: int | None
    command: int
    commands: int
    plans: Reading | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state and reason for the result."""

    status: OrderState
    reason: str | None
    failed: bool


def seconds_left(work: Work, now: datetime) -> float:
    """Return how many seconds the commands may take: the order's time-out, limited by its deadline."""
    return min(float(work.timeout), (work.not_after - now).total_seconds())


def verdict(outcome: Outcome, allowed: float, stop_reason: str | None = None) -> Verdict:
    """Return the verdict about the end of the commands.

    ``allowed`` are the seconds that they had; ``stop_reason`` is why they were asked to stop, None if they were not.
    """
    which = f"command {outcome.command + 1} of {outcome.commands}"
    if outcome.ending is Ending.TIMED_OUT:
        return Verdict(OrderState.TIMED_OUT, f"{which} was stopped after {allowed:.0f} seconds", failed=True)
    if outcome.ending is Ending.STOPPED:
        why = stop_reason or "the worker was stopped"
        return Verdict(OrderState.CANCELLED, f"{which} was stopped, because {why}", failed=True)
    if outcome.exit_code == 0:
        return Verdict(OrderState.SUCCEEDED, None, failed=False)
    if outcome.exit_code is not None and outcome.exit_code < 0:
        return Verdict(OrderState.FAILED, f"{which} was killed by signal {-outcome.exit_code}", failed=True)
    return Verdict(OrderState.FAILED, f"{which} ended with exit code {outcome.exit_code}", failed=True)


def log_tail(log: bytes, *, whole: int) -> tuple[str, bool]:
    """Return the end of a log for a result, cut at a line, and whether it is cut.

    ``log`` may be only the end of a log of ``whole`` bytes.
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
        # Each byte that is not UTF-8 becomes three bytes.
        cut = True
        tail = tail[len(tail) // 3 :]
