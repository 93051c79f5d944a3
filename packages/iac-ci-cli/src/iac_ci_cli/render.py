"""Runs, orders and logs as text and tables. Text that comes from a job is shown without its control characters."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from iac_ci_cli.text import one_line, plain
from iac_ci_cli.times import span
from iac_ci_common.approvals import result_key
from iac_ci_common.errors import IacCiError
from iac_ci_common.models.changes import Operation
from iac_ci_common.models.result import Result
from iac_ci_common.progress import duration, state_words, waits_for
from iac_ci_common.states import OPEN, OrderState, RunState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iac_ci_cli.connection import StackClient
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.ports import RunRows

_TAIL_LINES: Final = 20
_WIDEST: Final = 1000
_NARROW: Final = 60
"""On narrower terminals the columns of a table leave no room for names and reasons."""

COLOURS: Final = {
    OrderState.SUCCEEDED: "green",
    OrderState.FAILED: "red",
    OrderState.TIMED_OUT: "red",
    OrderState.RUNNING: "cyan",
    OrderState.DISPATCHING: "cyan",
    OrderState.CANCELLED: "yellow",
    OrderState.SKIPPED: "yellow",
}


ATTENTION: Final = (
    OrderState.FAILED,
    OrderState.TIMED_OUT,
    OrderState.RUNNING,
    OrderState.DISPATCHING,
    OrderState.QUEUED,
    OrderState.CANCELLED,
    OrderState.SKIPPED,
    OrderState.SUCCEEDED,
)
"""The states of orders, those that need attention first."""


def console() -> Console:
    """Return a console on standard output. Text is never read as markup, nor coloured by what it seems to be."""
    return Console(highlight=False, markup=False)


def wide_console() -> Console:
    """Return a console like ``console``, on which a table keeps its lines whole where there is no terminal."""
    found = console()
    return found if found.is_terminal else Console(highlight=False, markup=False, width=_WIDEST)


def fits(console: Console, table: Table) -> bool:
    """Return whether a console shows a table without a break in a cell."""
    return console.measure(table, options=console.options.update_width(_WIDEST)).maximum <= console.width


def line(text: str, style: str = "") -> Text:
    """Return a line of text for a console."""
    return Text(text, style)


def word(state: OrderState | RunState) -> str:
    """Return a state in words."""
    return state.value.replace("_", " ")


def state_of(order: OrderRow) -> str:
    """Return the state of an order in words, with its attributes."""
    return state_words(order).replace("_", " ")


def print_orders(console: Console, rows: RunRows, now: datetime) -> None:
    """Print all orders: state, duration, changes, and what each waits for or why it ended.

    They are a table, on a narrow terminal a line each with the last of these below it.
    """
    if console.width >= _NARROW:
        console.print(_orders_table(rows, now))
        return
    by_num = {order.order_num: order for order in rows.orders}
    for order in rows.orders:
        facts = [state_of(order), duration_at(order, now), changes(order)]
        console.print(Text(f"{order.order_name}: {', '.join(filter(None, facts))}"), soft_wrap=True)
        if why := one_line(waits_for(order, by_num)):
            console.print(Padding(Text(why), (0, 0, 0, 2)))


def _orders_table(rows: RunRows, now: datetime) -> Table:
    by_num = {order.order_num: order for order in rows.orders}
    columns: dict[str, list[Text]] = {
        "Order": [Text(order.order_name) for order in rows.orders],
        "State": [Text(state_of(order), style=COLOURS.get(order.status, "")) for order in rows.orders],
        "Duration": [Text(duration_at(order, now)) for order in rows.orders],
        "Changes": [Text(changes(order)) for order in rows.orders],
        "Waits for, or reason": [Text(one_line(waits_for(order, by_num))) for order in rows.orders],
    }
    if not any(columns["Changes"]):
        del columns["Changes"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, cells in columns.items():
        # Names and reasons give way to the words of the others.
        gives_way = heading in {"Order", "Waits for, or reason"}
        words = [] if gives_way else [heading, *(word for cell in cells for word in cell.plain.split())]
        table.add_column(heading, overflow="fold", min_width=max(map(len, words), default=None))
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def totals(orders: Sequence[OrderRow]) -> str:
    """Return how many orders are in each state, those that need attention first."""
    counts = Counter(order.status for order in orders)
    return ", ".join(f"{number} {word(state)}" for state, number in _by_attention(counts))


def _by_attention(counts: Counter[OrderState]) -> list[tuple[OrderState, int]]:
    return [(state, counts[state]) for state in ATTENTION if counts[state]]


def duration_at(order: OrderRow, now: datetime) -> str:
    """Return how long an order ran, or has been running."""
    if order.status in OPEN and order.started_at is not None:
        return span(now - order.started_at)
    return duration(order)


def changes(order: OrderRow) -> str:
    """Return the changes that an order planned or applied; empty if it did neither."""
    if order.changes is None:
        return "unknown" if order.changes_unknown else ""
    return f"{order.changes} applied" if order.changes.operation is Operation.APPLIED else str(order.changes)


def summary(run: RunRow, orders: Sequence[OrderRow]) -> str:
    """Return in one line how a run ended, or its state."""
    took = ""
    if run.finished_at is not None:
        took = f" in {(run.finished_at - run.accepted_at).total_seconds():.1f} s"
    reason = f": {one_line(run.reason)}" if run.reason else ""
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
            body = connection.internal.get(result_key(order))
            result = Result.from_stored(body)
        except IacCiError:
            continue
        reason = one_line(order.reason or "no reason")
        console.print(Text(f"\n{order.order_name} {word(order.status)}: {reason}", "bold"), soft_wrap=True)
        lines = plain(result.log_tail).splitlines()
        if len(lines) > _TAIL_LINES or result.log_truncated:
            console.print(Text(f"  … ({_whole_log(connection, order)})", "dim"), soft_wrap=True)
        for text in lines[-_TAIL_LINES:]:
            console.print(Text(f"  {text}"), soft_wrap=True)


def _whole_log(connection: StackClient, order: OrderRow) -> str:
    if connection.ends_with_command:
        return "the whole log goes with this local cloud: run again with --keep to read it"
    return f"the whole log: {connection.command('logs', order.run_id, order.order_name)}"
