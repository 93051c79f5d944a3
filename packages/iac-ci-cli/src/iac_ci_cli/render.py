"""Runs, orders and logs as text and tables. Text that comes from a job is shown without its control characters."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from iac_ci_cli.text import plain
from iac_ci_common import keys
from iac_ci_common.errors import IacCiError
from iac_ci_common.models.result import Result
from iac_ci_common.progress import duration, state_words, waits_for
from iac_ci_common.states import OPEN, OrderState, RunState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_cli.connection import StackClient
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.ports import RunRows

_TAIL_LINES: Final = 20
_WIDEST: Final = 1000
_COLOURS: Final = {
    OrderState.SUCCEEDED: "green",
    OrderState.FAILED: "red",
    OrderState.TIMED_OUT: "red",
    OrderState.RUNNING: "cyan",
    OrderState.DISPATCHING: "cyan",
    OrderState.CANCELLED: "yellow",
    OrderState.SKIPPED: "yellow",
}


_FIRST: Final = {
    OrderState.RUNNING: 0,
    OrderState.DISPATCHING: 1,
    OrderState.FAILED: 2,
    OrderState.TIMED_OUT: 2,
    OrderState.QUEUED: 3,
    OrderState.CANCELLED: 4,
    OrderState.SKIPPED: 4,
    OrderState.SUCCEEDED: 5,
}
"""What a table shows first where not all orders fit."""

_OTHER_LINES: Final = 4
"""Lines of a live table besides its orders: heading, what is left out, totals, cursor."""


def console() -> Console:
    """Return a console on standard output. Text is never read as markup, nor coloured by what it seems to be."""
    return Console(highlight=False, markup=False)


def wide_console() -> Console:
    """Return a console like ``console``, on which a table keeps its lines whole where there is no terminal."""
    found = console()
    return found if found.is_terminal else Console(highlight=False, markup=False, width=_WIDEST)


def line(text: str, style: str = "") -> Text:
    """Return a line of text for a console."""
    return Text(text, style)


def word(state: OrderState | RunState) -> str:
    """Return a state in words."""
    return state.value.replace("_", " ")


def _state(order: OrderRow) -> str:
    return state_words(order).replace("_", " ")


def orders_table(rows: RunRows, shown: Sequence[OrderRow] | None = None) -> Table:
    """Return a table of orders, by default all: state, duration, and what each waits for or why it ended."""
    by_num = {order.order_num: order for order in rows.orders}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Order", "State", "Duration", "Waits for, or reason"):
        table.add_column(heading, overflow="fold")
    for order in rows.orders if shown is None else shown:
        table.add_row(
            Text(order.order_name),
            Text(_state(order), style=_COLOURS.get(order.status, "")),
            _duration(order),
            Text(plain(waits_for(order, by_num))),
        )
    return table


def live_table(rows: RunRows, height: int) -> Group:
    """Return a table and totals that fit ``height`` lines: running and failed orders first, then a line of totals.

    Each order takes one line; what does not fit is counted.
    """
    by_num = {order.order_num: order for order in rows.orders}
    room = max(1, height - _OTHER_LINES)
    by_weight = sorted(rows.orders, key=lambda order: (_FIRST[order.status], order.order_num))
    kept = {order.order_num for order in by_weight[: room if len(by_weight) > room else None]}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Order", "State", "Duration", "Waits for, or reason"):
        table.add_column(heading, overflow="ellipsis", no_wrap=True)
    for order in rows.orders:
        if order.order_num in kept:
            reason = " ".join(plain(waits_for(order, by_num)).split())
            style = _COLOURS.get(order.status, "")
            table.add_row(Text(order.order_name), Text(_state(order), style=style), _duration(order), Text(reason))
    left_out = [order for order in rows.orders if order.order_num not in kept]
    lines = [_one_line(f"… {len(left_out)} more: {totals(left_out)}", "dim")] if left_out else []
    return Group(table, *lines, _one_line(f"{len(rows.orders)} orders: {totals(rows.orders)}", "bold"))


def _one_line(text: str, style: str) -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")


def totals(orders: Sequence[OrderRow]) -> str:
    """Return how many orders are in each state."""
    counts = Counter(order.status for order in orders)
    return ", ".join(f"{number} {word(state)}" for state, number in sorted(counts.items()))


def _duration(order: OrderRow) -> str:
    if order.status in OPEN and order.started_at is not None:
        return f"{max(0.0, (datetime.now(UTC) - order.started_at).total_seconds()):.0f} s"
    return duration(order)


def summary(run: RunRow, orders: Sequence[OrderRow]) -> str:
    """Return in one line how a run ended, or its state."""
    took = ""
    if run.finished_at is not None:
        took = f" in {(run.finished_at - run.accepted_at).total_seconds():.1f} s"
    reason = f": {plain(run.reason)}" if run.reason else ""
    return f"Run {run.run_id} {_verb(run.status)}{took} ({totals(orders)}){reason}"


def _verb(state: RunState) -> str:
    return {
        RunState.QUEUED: "is queued",
        RunState.RUNNING: "is running",
        RunState.TIMED_OUT: "timed out",
        RunState.CANCELLED: "was cancelled",
    }.get(state, word(state))


def failed_tails(console: Console, connection: StackClient, orders: Sequence[OrderRow]) -> None:
    """Print the end of the log of every order that ran and did not succeed, and how to read the whole log."""
    for order in orders:
        if order.status not in {OrderState.FAILED, OrderState.TIMED_OUT} or order.dispatched_at is None:
            continue
        try:
            body = connection.internal.get(keys.result(*order.attempt_key))
            result = Result.from_stored(body)
        except IacCiError:
            continue
        console.print(Text(f"\n{order.order_name} {word(order.status)}: {plain(order.reason or 'no reason')}", "bold"))
        lines = plain(result.log_tail).splitlines()
        if len(lines) > _TAIL_LINES or result.log_truncated:
            console.print(Text(f"  … ({_whole_log(connection, order)})", "dim"), soft_wrap=True)
        for text in lines[-_TAIL_LINES:]:
            console.print(Text(f"  {text}"))


def _whole_log(connection: StackClient, order: OrderRow) -> str:
    if connection.ends_with_command:
        return "the whole log goes with this local cloud: run again with --keep to read it"
    return f"the whole log: {connection.command('logs', order.run_id, order.order_name)}"
