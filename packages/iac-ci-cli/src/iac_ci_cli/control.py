"""Wakes and cancels runs. Both are safe at any time and any number of times."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.lookup import find_order
from iac_ci_common.errors import ConditionFailed
from iac_ci_common.nudge import nudge
from iac_ci_common.run_events import run_event
from iac_ci_common.states import OPEN, RUN_TERMINAL, OrderState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_cli.inspection import Stack
    from iac_ci_common.models.rows import RunRow
    from iac_ci_common.ports import RunRows


@dataclass(frozen=True, slots=True)
class Woken:
    """What a nudge did. ``watchdog_started`` where the run had none."""

    prepared: bool
    watchdog_started: bool


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A run that is cancelled, and its orders by name, from rows read after the request.

    ``cancelled`` never started; ``asked_to_stop`` had started and are asked to stop; ``left_running`` had started and
    finish; ``undecided`` are still queued: the orchestrator may have been starting them at that moment.
    ``already_cancelled`` is true where an earlier request counts; ``reason`` is that of the request that counts, None
    where only orders were named: their run is not cancelled.
    """

    reason: str | None
    already_cancelled: bool
    cancelled: tuple[str, ...]
    asked_to_stop: tuple[str, ...]
    left_running: tuple[str, ...]
    undecided: tuple[str, ...]


_READS: Final = 20
_PAUSE_SECONDS: Final = 0.5


def wake(stack: Stack, run_id: str, rows: RunRows) -> Woken:
    """Write the run's trigger again, as its watchdog does, and start a watchdog if it has none.

    Raises ``CommandFailed`` for a run that has ended completely.
    """
    if rows.run is not None and rows.run.status in RUN_TERMINAL:
        lock = stack.locks.read(run_id)
        if lock is not None and lock.completed:
            raise _has_ended(rows.run, "there is nothing to wake")
    # The watchdog first: if this process dies in between, something looks after the run.
    started = stack.executions.start_again(run_id)
    if rows.run is not None:
        stack.runs.record([run_event(rows.run, stack.clock.now(), kind="nudged")])
    nudge(stack.internal, run_id)
    return Woken(prepared=rows.run is not None, watchdog_started=started)


def cancel(stack: Stack, run_id: str, rows: RunRows, reason: str, *, running: bool = False) -> Cancellation:
    """Cancel a run: queued orders are cancelled, running orders finish or, with ``running``, are asked to stop.

    An apply is not asked: it has to be named, see ``stop_orders``. Returns what became of each order. A request that
    was made before with ``running`` is made again, which shortens the rest of the grace.

    Waits up to ten seconds for the orchestrator to decide about the queued orders. A run that is cancelled already is
    left as it is. Raises ``CommandFailed`` for a run that ended without being cancelled, or that is not prepared yet.
    """
    run = _prepared(run_id, rows)
    if running and run.status not in RUN_TERMINAL:
        with contextlib.suppress(ConditionFailed):
            # A run that has just ended is reported below.
            stack.runs.request_stop(run_id, reason, soon=run.stop_reason is not None)
    if run.cancel_reason is not None:
        return _cancellation(stack.runs.read(run_id), run.cancel_reason, already=True)
    if run.status in RUN_TERMINAL:
        raise _has_ended(run, "there is nothing to cancel")
    try:
        stack.runs.request_cancel(run_id, reason)
    except ConditionFailed as error:
        rows = stack.runs.read(run_id)
        if rows.run is None or rows.run.cancel_reason is None:
            message = f"run {run_id} has just ended: there is nothing to cancel"
            raise CommandFailed(message, exit_code=ExitCode.BAD_INPUT) from error
        return _cancellation(rows, rows.run.cancel_reason, already=True)
    stack.executions.start_again(run_id)
    nudge(stack.internal, run_id)
    return _cancellation(_decided_rows(stack, run_id), reason, already=False)


def stop_orders(stack: Stack, run_id: str, rows: RunRows, names: Sequence[str], reason: str) -> Cancellation:
    """Ask the commands of the named orders to stop, applies too; the run goes on by its rules.

    ``names`` are names or numbers of orders. Raises ``CommandFailed``, before anything is asked, for a name that the
    run does not have and for an order that is not running.
    """
    _prepared(run_id, rows)
    chosen = []
    for name in dict.fromkeys(names):
        order = find_order(rows, run_id, name)
        if order.status not in OPEN:
            state = order.status.value.replace("_", " ")
            message = f"order {name} is not running ({state}): there is nothing to stop"
            raise CommandFailed(message, exit_code=ExitCode.BAD_INPUT)
        chosen.append(order)
    for order in chosen:
        with contextlib.suppress(ConditionFailed):
            # One that has just ended is reported by its row.
            soon = order.stop_reason is not None
            stack.runs.request_stop(run_id, reason, order_num=order.order_num, soon=soon)
    return _cancellation(stack.runs.read(run_id), None, already=False)


def _prepared(run_id: str, rows: RunRows) -> RunRow:
    if rows.run is None:
        hint = "Try again in a moment: there is nothing to cancel before its code and secrets are collected."
        raise CommandFailed(f"run {run_id} is being prepared", exit_code=ExitCode.BAD_INPUT, hint=hint)
    return rows.run


def _decided_rows(stack: Stack, run_id: str) -> RunRows:
    """Read the rows until no order is queued, but not for ever: a pass that began earlier may still start one."""
    for _ in range(_READS - 1):
        rows = stack.runs.read(run_id)
        if all(order.status is not OrderState.QUEUED for order in rows.orders):
            return rows
        time.sleep(_PAUSE_SECONDS)
    return stack.runs.read(run_id)


def _cancellation(rows: RunRows, reason: str | None, *, already: bool) -> Cancellation:
    started = [order for order in rows.orders if order.status in OPEN]
    stopping = {order.order_num for order in started if rows.run is not None and order.stop_wish(rows.run) is not None}
    return Cancellation(
        reason,
        already,
        cancelled=tuple(
            order.order_name
            for order in rows.orders
            if order.status is OrderState.CANCELLED and order.started_at is None
        ),
        asked_to_stop=tuple(order.order_name for order in started if order.order_num in stopping),
        left_running=tuple(order.order_name for order in started if order.order_num not in stopping),
        undecided=tuple(order.order_name for order in rows.orders if order.status is OrderState.QUEUED),
    )


def _has_ended(run: RunRow, consequence: str) -> CommandFailed:
    ended = run.status.value.replace("_", " ")
    return CommandFailed(f"run {run.run_id} has ended ({ended}): {consequence}", exit_code=ExitCode.BAD_INPUT)
