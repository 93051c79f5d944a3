"""Watches a run until it has ended: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from rich.live import Live
from rich.text import Text

from iac_ci_cli import render
from iac_ci_cli.attention import Attention
from iac_ci_cli.aws_messages import aws_message
from iac_ci_cli.errors import CommandFailed, ExitCode, interrupted
from iac_ci_cli.live_table import live_table
from iac_ci_cli.render import changes, state_of, summary
from iac_ci_cli.text import one_line, write
from iac_ci_cli.times import shown_time
from iac_ci_common import keys
from iac_ci_common.begun_orders import as_begun
from iac_ci_common.errors import PortFailed
from iac_ci_common.states import RUN_TERMINAL, OrderState, RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from rich.console import Console, RenderableType

    from iac_ci_cli.connection import StackClient
    from iac_ci_common.models.rows import RunRow
    from iac_ci_common.ports import Clock, RunRows

_POLL_SECONDS: Final = 0.5
_MARKER_LIFE: Final = timedelta(minutes=10)
"""A marker is written within a minute or two of the end, and kept for a day at least."""
_FAILURES: Final = 20
_FIRST_SIGN_SECONDS: Final = 2.0
_SIGN_OF_LIFE_SECONDS: Final = 30.0


def watch_to_the_end(connection: StackClient, run_id: str, *, as_json: bool, **options: Any) -> ExitCode:
    """Watch a run, print the log tails of failed orders and a summary; return the exit code for the run's end.

    Ctrl-C raises ``CommandFailed`` with how to watch the run again, where its stack outlives this command.
    """
    console = render.console()
    with _interruption(connection, run_id):
        rows = watch_run(connection, run_id, console, quiet=as_json, **options)
    if rows.run is None:
        raise CommandFailed(f"run {run_id} no longer exists")
    if as_json:
        write(rows_json(rows))
    else:
        render.failed_tails(console, connection, rows.orders)
        console.print(render.line(summary(rows.run, rows.orders)), soft_wrap=True)
    return ExitCode.SUCCEEDED if rows.run.status is RunState.SUCCEEDED else ExitCode.RUN_FAILED


def rows_json(rows: RunRows) -> str:
    """Return a run's rows as JSON."""
    return json.dumps(
        {
            "schema_version": 1,
            "run": rows.run.model_dump(mode="json", exclude_none=True) if rows.run is not None else None,
            "orders": [order.model_dump(mode="json", exclude_none=True) for order in rows.orders],
        }
    )


def _interruption(connection: StackClient, run_id: str) -> Any:
    if connection.ends_with_command:
        return interrupted(f"the local cloud ended, and with it run {run_id}")
    again = f"Watch it again with: {connection.command('watch', run_id)}"
    return interrupted(f"run {run_id} goes on", hint=again)


def watch_run(
    connection: StackClient,
    run_id: str,
    console: Console,
    *,
    quiet: bool = False,
    check: Callable[[], None] | None = None,
    output: Callable[[RunRows], None] | None = None,
) -> RunRows:
    """Follow a run until its done marker is there, and return its last rows.

    ``quiet`` shows nothing. ``check`` is called before every read and may raise to end the waiting. ``output`` gets the
    rows of each read and may print to ``console``, before the states of these rows are shown.
    Raises ``CommandFailed`` when the stack cannot be reached for a while.
    """
    show_output = output or _show_nothing
    if quiet or not has_live_table(console):
        show = _show_nothing if quiet else _Lines(console, connection.clock)
        return _follow(connection, run_id, (show_output, show), check)
    with Live(console=console, refresh_per_second=8, transient=False) as live:

        def show_table(rows: RunRows) -> None:
            live.update(_picture(rows, *console.size, connection.clock.now()))

        return _follow(connection, run_id, (show_output, show_table), check)


def has_live_table(console: Console) -> bool:
    """Return whether a console shows a run as a table; elsewhere it gets a line for each change of state.

    A log of CI keeps every picture of a table, also where CI offers a terminal.
    """
    return console.is_terminal and not console.is_dumb_terminal and not os.environ.get("CI")


def _follow(
    connection: StackClient,
    run_id: str,
    shows: Sequence[Callable[[RunRows], None]],
    check: Callable[[], None] | None,
) -> RunRows:
    runs, done = connection.runs, connection.done
    attention = Attention(connection, run_id, output=False)
    failures = 0
    known = False
    while True:
        if check is not None:
            check()
        try:
            attention.renew()
            rows = runs.read(run_id)
            rows = replace(rows, orders=as_begun(connection.internal, rows.orders))
            for show in shows:
                show(rows)
            if rows.run is None and known:
                raise CommandFailed(f"run {run_id} no longer exists: runs are removed a day after their deadline")
            known = rows.run is not None
            # The marker is the last thing that a reader may wait for: the row can end before it.
            ended = rows.run is not None and rows.run.status in RUN_TERMINAL
            if ended and (done.exists(keys.done(run_id)) or _ended_long_ago(connection, rows.run)):
                return rows
            failures = 0
        except PortFailed as error:
            failures += 1
            if failures == _FAILURES:
                hint = f"The run goes on. Watch it again with: {connection.command('watch', run_id)}"
                message = (aws_message(error) or (error.message, ""))[0]
                raise CommandFailed(f"the stack cannot be reached: {message}", hint=hint) from error
        time.sleep(_POLL_SECONDS)


def _ended_long_ago(connection: StackClient, run: RunRow | None) -> bool:
    """Return whether a run's done marker may be removed already, so that waiting for it would never end."""
    if run is None or run.finished_at is None:
        return False
    return connection.clock.now() - run.finished_at > _MARKER_LIFE


def _show_nothing(rows: RunRows) -> None:
    del rows


def _picture(rows: RunRows, width: int, height: int, now: datetime) -> RenderableType:
    return Text("The run is being prepared …") if rows.run is None else live_table(rows, height, now, width=width)


class _Lines:
    """Prints a line when an order's state changes, and the run's state where nothing changed for a while.

    Each line begins with the time of the change, as the order's row has it; where it has none, with that of the look.
    """

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console, self._clock = console, clock
        self._seen: dict[str, OrderState] = {}
        self._last = time.monotonic() - _SIGN_OF_LIFE_SECONDS + _FIRST_SIGN_SECONDS

    def __call__(self, rows: RunRows) -> None:
        for order in rows.orders:
            before = self._seen.get(order.order_num)
            if before is order.status or (before is None and order.status is OrderState.QUEUED):
                continue
            self._seen[order.order_num] = order.status
            reason = f" ({one_line(order.reason)})" if order.reason else ""
            counted = f", {changes(order)}" if changes(order) else ""
            since = order.started_at if order.status is OrderState.RUNNING else order.ended_at
            self._print(f"{order.order_name}: {state_of(order)}{counted}{reason}", since)
        if time.monotonic() - self._last > _SIGN_OF_LIFE_SECONDS:
            self._print(_state_of(rows.run, rows))

    def _print(self, text: str, at: datetime | None = None) -> None:
        self._last = time.monotonic()
        self._console.print(Text(f"{shown_time(at or self._clock.now())} {text}"), soft_wrap=True)


def _state_of(run: RunRow | None, rows: RunRows) -> str:
    return "the run is being prepared …" if run is None else summary(run, rows.orders)
