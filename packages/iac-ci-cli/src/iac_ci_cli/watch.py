"""Watches a run until it has ended: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from rich.live import Live
from rich.text import Text

from iac_ci_cli.errors import CommandFailed
from iac_ci_cli.render import orders_table, plain, summary, word
from iac_ci_common import keys
from iac_ci_common.errors import PortFailed
from iac_ci_common.states import RUN_TERMINAL, OrderState

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, RenderableType

    from iac_ci_cli.connection import StackClient
    from iac_ci_common.models.rows import RunRow
    from iac_ci_common.ports import RunRows

_POLL_SECONDS: Final = 0.5
_FAILURES: Final = 20
_SAY_SOMETHING_SECONDS: Final = 30.0


def watch_run(
    connection: StackClient,
    run_id: str,
    console: Console,
    *,
    quiet: bool = False,
    check: Callable[[], None] | None = None,
) -> RunRows:
    """Follow a run until its done marker is there, and return its last rows.

    ``quiet`` shows nothing. ``check`` is called at every look and may raise where waiting has become pointless.
    Raises ``CommandFailed`` when the stack cannot be reached for a while.
    """
    if quiet or not console.is_terminal:
        return _follow(connection, run_id, _show_nothing if quiet else _Lines(console), check)
    with Live(console=console, refresh_per_second=8, transient=False) as live:
        return _follow(connection, run_id, lambda rows: live.update(_picture(rows)), check)


def _follow(
    connection: StackClient, run_id: str, show: Callable[[RunRows], None], check: Callable[[], None] | None
) -> RunRows:
    runs, done = connection.runs, connection.done
    failures = 0
    while True:
        if check is not None:
            check()
        try:
            rows = runs.read(run_id)
            show(rows)
            # The marker is the last thing that a reader may wait for: the row can end before it.
            if rows.run is not None and rows.run.status in RUN_TERMINAL and done.exists(keys.done(run_id)):
                return rows
            failures = 0
        except PortFailed as error:
            failures += 1
            if failures == _FAILURES:
                hint = f"The run goes on without us; look again with `iac-ci status {run_id}`."
                raise CommandFailed(f"the stack cannot be reached: {error.message}", hint=hint) from error
        time.sleep(_POLL_SECONDS)


def _show_nothing(rows: RunRows) -> None:
    del rows


def _picture(rows: RunRows) -> RenderableType:
    return Text("The run is being prepared …") if rows.run is None else orders_table(rows)


class _Lines:
    """A line whenever an order transitions, and now and then a sign of life."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen: dict[str, OrderState] = {}
        self._last = time.monotonic()

    def __call__(self, rows: RunRows) -> None:
        for order in rows.orders:
            before = self._seen.get(order.order_num)
            if before is order.status or (before is None and order.status is OrderState.QUEUED):
                continue
            self._seen[order.order_num] = order.status
            why = f" ({plain(order.reason)})" if order.reason else ""
            self._say(f"{order.order_name}: {word(order.status)}{why}")
        if time.monotonic() - self._last > _SAY_SOMETHING_SECONDS:
            self._say(_sign_of_life(rows.run, rows))

    def _say(self, text: str) -> None:
        self._last = time.monotonic()
        self._console.print(Text(text), soft_wrap=True)


def _sign_of_life(run: RunRow | None, rows: RunRows) -> str:
    return "the run is being prepared …" if run is None else summary(run, rows.orders)
