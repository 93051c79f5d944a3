"""Decides an order's result from the outcome of its commands: pure."""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from iac_ci_common.limits import (
    DEFAULT_STOP_GRACE_SECONDS,
    HEARTBEAT_SECONDS,
    LAMBDA_REPORT_SECONDS,
    LAMBDA_STOP_SECONDS,
    LOG_IN_RESULT_BYTES,
    LOG_TAIL_BYTES,
    MAX_RESULT_BYTES,
)
from iac_ci_common.models.commands import SUCCESS
from iac_ci_common.states import OrderState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iac_ci_common.models.work import Work
    from iac_ci_plans import Reading

_MORE_MEMORY: Final = (
    "give the worker more: a `size` or `execution_target: codebuild` for the order, or the stack's worker_memory_mb or"
    " build_compute_type"
)
_FULL_DISK: Final = "the worker's disk was full: a part of the log is missing, and commands may have failed for it"
_MORE_DISK: Final = (
    "give the worker more: the stack's worker_storage_mb, or `execution_target: codebuild` for the order"
)
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

_TAIL_IN_JSON: Final = MAX_RESULT_BYTES - 192 * 1024
"""Most bytes of the log's end in the JSON of a result: the plans' text and the other fields have 192 KiB."""

LONGEST_PAUSE_SECONDS: Final = 30.0
"""Longest pause between two tries to open an order."""

LATE_SECONDS: Final = 60 - HEARTBEAT_SECONDS
"""How long after its dispatch a worker may start its commands without a trade: the first one while they run comes after
``HEARTBEAT_SECONDS``, and a wish to stop reaches the worker within a minute."""

LONGEST_READING_SECONDS: Final = 900.0
"""Longest time for reading a saved plan: its providers are the repository's code and may never end."""

MAX_NAMED_OPERATIONS: Final = 5
"""Most operations of Terraform that a reason names."""


class Ending(StrEnum):
    """The reason why the commands ended."""

    EXITED = "exited"
    TIMED_OUT = "timed_out"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Allowance:
    """The time that the commands have: ``seconds`` until they are asked to stop, for the reason ``limit``.

    Then they have ``grace`` seconds; in all never more than ``last`` seconds, None if there is no such limit.
    """

    seconds: float
    limit: str
    grace: float
    last: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of the commands. ``command`` is the index (from 0) of the last one that was started.

    ``stopped_after`` are the seconds from the first command to the wish to stop, ``graced`` those from there to the end
    of the last process; ``killed`` is true if not all processes ended by themselves. ``not_started`` is why the last
    command could not be started, empty if it was. ``disk_was_full`` is true if the
    log found no room, ``out_of_memory`` if the kernel killed a process for its memory. ``plans`` is what was read of
    plans in what the commands printed, before anything was masked. ``log_times`` say when the log was written. ``ok``
    are the exit codes that are a success of the last command, and ``changed`` is true if a command succeeded with
    another code than 0.
    """

    ending: Ending
    exit_code: int | None
    command: int
    commands: int
    plans: Reading | None = None
    disk_was_full: bool = False
    out_of_memory: bool = False
    stopped_after: float = 0.0
    graced: float = 0.0
    killed: bool = False
    not_started: str = ""
    log_times: tuple[tuple[int, int], ...] = ()
    ok: tuple[int, ...] = SUCCESS
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state and reason for the result."""

    status: OrderState
    reason: str | None
    failed: bool
    changed: bool = False


def is_late(work: Work, now: datetime) -> bool:
    """Return whether so much time has passed since the order was dispatched that the worker trades before it begins."""
    return now.timestamp() - int(work.dispatch) / 1000 > LATE_SECONDS


def allowance(work: Work, now: datetime, function_ends: datetime | None) -> Allowance:
    """Return the time that the commands have from ``now`` on.

    ``function_ends`` is when Lambda ends the worker, None on a build: a build is started with the time for the grace.
    An order that names no ``stop_grace`` is asked to stop ``LAMBDA_STOP_SECONDS`` before the function's end, so that
    there is a grace however late it began; it may take what the function has left, up to the grace of a build.
    """
    deadline = (work.not_after - now).total_seconds()
    seconds, limit = float(work.timeout), f"its timeout of {work.timeout} seconds"
    if deadline < seconds:
        seconds, limit = deadline, "the run's job_timeout"
    grace = float(work.stop_grace or DEFAULT_STOP_GRACE_SECONDS)
    if function_ends is None:
        return Allowance(seconds, limit, grace)
    left = (function_ends - now).total_seconds()
    last = left - LAMBDA_REPORT_SECONDS
    latest = last - work.stop_grace if work.stop_grace is not None else left - LAMBDA_STOP_SECONDS
    if latest < seconds:
        before = f"{left - latest:.0f} seconds before the end of its Lambda function"
        seconds, limit = latest, f"the stop that begins {before}"
    return Allowance(seconds, limit, grace, last)


def reading_seconds(work: Work, now: datetime, function_ends: datetime | None) -> float:
    """Return how long the plan that an order saved may be read from ``now`` on.

    The commands have ended, so the grace of a stop is left for it too; what a worker needs to report is not.
    """
    grace = float(work.stop_grace or DEFAULT_STOP_GRACE_SECONDS)
    seconds = min(LONGEST_READING_SECONDS, (work.not_after - now).total_seconds() + grace)
    if function_ends is not None:
        seconds = min(seconds, (function_ends - now).total_seconds() - LAMBDA_REPORT_SECONDS)
    return max(0.0, seconds)


def last_start(work: Work, started: datetime, function_ends: datetime | None) -> datetime:
    """Return when a worker that began at ``started`` stops trying to open its order: when half of its time is over.

    On Lambda the order's time is what the function leaves for its commands; the other half is for the commands.
    """
    ends = [work.not_after, started + timedelta(seconds=work.timeout)]
    if function_ends is not None:
        ends.append(function_ends - timedelta(seconds=LAMBDA_STOP_SECONDS))
    return started + (min(ends) - started) / 2


def is_full_disk(error: Exception) -> bool:
    """Return whether an error says that a disk, or the part of it that a user may use, is full."""
    return isinstance(error, OSError) and error.errno in _FULL


def worker_failure(error: Exception) -> str:
    """Return the reason of an order whose worker met an error that the engine does not name."""
    if is_full_disk(error):
        return f"the worker's disk is full; {_MORE_DISK}"
    return f"the worker failed: {(error.strerror if isinstance(error, OSError) else None) or type(error).__name__}"


def verdict(
    outcome: Outcome, limit: str, stop_reason: str | None = None, open_operations: Sequence[str] = ()
) -> Verdict:
    """Return the verdict about the end of the commands.

    ``limit`` is what limited their time; ``stop_reason`` is why they were asked to stop, None if they were not;
    ``open_operations`` are what Terraform had begun and not ended when it was stopped. An exit code of 0 of a command
    that was stopped is no success: an interrupted plan may end with 0 too.
    """
    which = f"command {outcome.command + 1} of {outcome.commands}"
    if outcome.ending is not Ending.EXITED:
        timed_out = outcome.ending is Ending.TIMED_OUT
        why = f"at {limit}" if timed_out else f"because {stop_reason or 'the worker was stopped'}"
        summary = f"{which} was stopped after {outcome.stopped_after:.0f} seconds, {why}"
        full_disk = _FULL_DISK if outcome.disk_was_full else ""
        reason = _joined(summary, _end(outcome), _lost(open_operations), full_disk)
        status = OrderState.TIMED_OUT if timed_out else OrderState.CANCELLED
        return Verdict(status, reason, failed=True)
    full_disk = _FULL_DISK if outcome.disk_was_full else ""
    if outcome.not_started:
        reason = _joined(f"{which} could not be started: {outcome.not_started}", full_disk)
        return Verdict(OrderState.FAILED, reason, failed=True)
    if outcome.exit_code in outcome.ok:
        return Verdict(OrderState.SUCCEEDED, full_disk or None, failed=False, changed=outcome.changed)
    if outcome.exit_code is not None and outcome.exit_code < 0:
        summary = f"{which} was killed by signal {-outcome.exit_code}"
    else:
        summary = f"{which} ended with exit code {outcome.exit_code}{_expected(outcome.ok)}"
    return Verdict(OrderState.FAILED, _joined(summary, _memory(outcome), full_disk), failed=True)


def _expected(ok: tuple[int, ...]) -> str:
    """Return which exit codes a command may end with, if it names any."""
    return "" if ok == SUCCESS else f", and only {', '.join(map(str, ok))} {'is' if len(ok) == 1 else 'are'} ok"


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _memory(outcome: Outcome) -> str:
    """Return what is known about memory: a shell reports a command that was killed as 137."""
    if outcome.out_of_memory:
        return f"the kernel ended a process because memory was used up; {_MORE_MEMORY}"
    if outcome.exit_code in {-9, 137}:
        return f"the kernel kills like this when memory is used up; if it was that, {_MORE_MEMORY}"
    return ""


def _end(outcome: Outcome) -> str:
    """Return how the commands ended after the wish to stop."""
    if outcome.killed:
        return f"it did not end within {outcome.graced:.0f} seconds and was killed"
    code = f" with exit code {outcome.exit_code}" if outcome.exit_code is not None and outcome.exit_code >= 0 else ""
    return f"it ended by itself{code} {outcome.graced:.0f} seconds later"


def _lost(open_operations: Sequence[str]) -> str:
    if not open_operations:
        return ""
    named = ", ".join(open_operations[:MAX_NAMED_OPERATIONS])
    further = len(open_operations) - MAX_NAMED_OPERATIONS
    return (
        f"Terraform had begun and not ended: {named}{f' and {further} more' if further > 0 else ''}. The provider may"
        " have dropped these calls, so that a resource may exist that no state knows"
    )


def is_whole_in_result(tail: str, log: bytes, *, whole: int, live_parts: int) -> bool:
    """Return whether a result with ``tail``, the text of ``log``, needs no object of the log beside it.

    ``log`` may be only the end of a log of ``whole`` bytes. The text of bytes that are not UTF-8 has others. A log of
    which parts were sent has an object: those who read the parts, of any version, go on reading there.
    """
    return 0 < whole <= LOG_IN_RESULT_BYTES and not live_parts and len(log) == whole and tail.encode() == log


def log_tail(log: bytes, *, whole: int) -> tuple[str, bool]:
    """Return the end of a log for a result, cut at a line, and whether it is cut.

    It fits as text and in the result's JSON, which the broker and the orchestrator measure.

    ``log`` may be only the end of a log of ``whole`` bytes.
    """
    cut = len(log) < whole
    tail = log
    while True:
        if cut or len(tail) > LOG_TAIL_BYTES:
            cut = True
            tail = tail[-LOG_TAIL_BYTES:]
            line = tail.find(b"\n")
            # A line that is most of the end is worth more than the lines after it.
            tail = tail[line + 1 :] if 0 <= line < len(tail) // 2 else tail
        text = tail.decode("utf-8", "replace")
        if len(text.encode()) <= LOG_TAIL_BYTES and len(json.dumps(text, ensure_ascii=False).encode()) <= _TAIL_IN_JSON:
            return text, cut
        # Each byte that is not UTF-8 becomes three bytes, and each control character six in JSON.
        cut = True
        tail = tail[len(tail) // 3 :]
