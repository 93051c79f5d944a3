"""What a person may do to a run from outside: wake it, and ask it to end. Both are safe at any time and any number."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_common import limits
from iac_ci_common.errors import ConditionFailed
from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.models.event import Event
from iac_ci_common.nudge import nudge
from iac_ci_common.states import OPEN, RUN_TERMINAL, OrderState

if TYPE_CHECKING:
    from iac_ci_cli.inspection import Stack
    from iac_ci_common.models.rows import RunRow
    from iac_ci_common.ports import RunRows


@dataclass(frozen=True, slots=True)
class Woken:
    """What a nudge did. ``watchdog_started`` where the run had none."""

    prepared: bool
    watchdog_started: bool


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """What a cancellation means for the run's orders, by name."""

    cancelled: tuple[str, ...]
    left_running: tuple[str, ...]


def wake(stack: Stack, run_id: str, rows: RunRows) -> Woken:
    """Write the run's trigger anew, as its watchdog does, and start a watchdog if it has none.

    Raises ``CommandFailed`` for a run that has ended and is finished with.
    """
    if rows.run is not None and rows.run.status in RUN_TERMINAL:
        lock = stack.locks.read(run_id)
        if lock is not None and lock.completed:
            raise _has_ended(rows.run, "there is nothing to wake")
    # The watchdog first: should this die half-way, something looks after the run.
    started = stack.executions.start_again(run_id)
    if rows.run is not None:
        stack.runs.record([_event(stack, rows.run)])
    nudge(stack.internal, run_id)
    return Woken(prepared=rows.run is not None, watchdog_started=started)


def cancel(stack: Stack, run_id: str, rows: RunRows, reason: str) -> CancelAsked:
    """Ask for the end of a run: what is queued is cancelled, what runs is let end.

    Raises ``CommandFailed`` for a run that has ended, that is cancelled already, or that is not prepared yet.
    """
    if rows.run is None:
        hint = "Ask again in a moment: there is nothing to cancel before its code and secrets are gathered."
        raise CommandFailed(f"run {run_id} is being prepared", exit_code=ExitCode.BAD_INPUT, hint=hint)
    if rows.run.status in RUN_TERMINAL:
        raise _has_ended(rows.run, "there is nothing to cancel")
    try:
        stack.runs.request_cancel(run_id, reason)
    except ConditionFailed as error:
        raise _refused(stack, run_id) from error
    stack.executions.start_again(run_id)
    nudge(stack.internal, run_id)
    return CancelAsked(
        cancelled=tuple(order.order_name for order in rows.orders if order.status is OrderState.QUEUED),
        left_running=tuple(order.order_name for order in rows.orders if order.status in OPEN),
    )


def _event(stack: Stack, run: RunRow) -> Event:
    now = stack.clock.now()
    return Event(
        trace_id=run.trace_id,
        run_id=run.run_id,
        order_num=RUN_ORDER_NUM,
        kind="nudged",
        at=now,
        expires_at=now + timedelta(seconds=limits.EVENT_RETENTION_SECONDS),
    )


def _has_ended(run: RunRow, so: str) -> CommandFailed:
    ended = run.status.value.replace("_", " ")
    return CommandFailed(f"run {run.run_id} has ended ({ended}): {so}", exit_code=ExitCode.BAD_INPUT)


def _refused(stack: Stack, run_id: str) -> CommandFailed:
    """Return why a run could not be cancelled: by its row as it is now."""
    run = stack.runs.read(run_id).run
    if run is None or run.cancel_reason is None:
        return CommandFailed(f"run {run_id} has just ended: there is nothing to cancel", exit_code=ExitCode.BAD_INPUT)
    hint = f"If it does not end, see `iac-ci doctor {run_id}`."
    return CommandFailed(
        f"run {run_id} is cancelled already: {run.cancel_reason}", exit_code=ExitCode.BAD_INPUT, hint=hint
    )
