"""Runs, orders and logs as people read them. Whatever comes from a job is shown without its control characters."""

from __future__ import annotations

import re
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from iac_ci_common import keys
from iac_ci_common.errors import IacCiError
from iac_ci_common.models.result import Result
from iac_ci_common.progress import duration, waits_for
from iac_ci_common.states import OPEN, OrderState, RunState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.ports import Objects, RunRows

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_ESCAPE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\-_])")
_TAIL_LINES: Final = 20
_COLOURS: Final = {
    OrderState.SUCCEEDED: "green",
    OrderState.FAILED: "red",
    OrderState.TIMED_OUT: "red",
    OrderState.RUNNING: "cyan",
    OrderState.DISPATCHING: "cyan",
    OrderState.CANCELLED: "yellow",
    OrderState.SKIPPED: "yellow",
}


def write(text: str) -> None:
    """Print text as it is, with one line break at its end."""
    sys.stdout.write(text.rstrip("\n") + "\n")


def plain(text: str) -> str:
    """Take out what would command a terminal; line breaks and tabs stay."""
    return _CONTROL.sub("", _ESCAPE.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def word(state: OrderState | RunState) -> str:
    """Write a state as a word."""
    return state.value.replace("_", " ")


def orders_table(rows: RunRows) -> Table:
    """Show every order: state, duration, what it waits for or why it ended."""
    by_num = {order.order_num: order for order in rows.orders}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Order", "State", "Duration", "Waits for, or why"):
        table.add_column(heading, overflow="fold")
    for order in rows.orders:
        table.add_row(
            Text(order.order_name),
            Text(word(order.status), style=_COLOURS.get(order.status, "")),
            _duration(order),
            Text(plain(waits_for(order, by_num))),
        )
    return table


def _duration(order: OrderRow) -> str:
    if order.status in OPEN and order.started_at is not None:
        return f"{max(0.0, (datetime.now(UTC) - order.started_at).total_seconds()):.0f} s"
    return duration(order)


def summary(run: RunRow, orders: Sequence[OrderRow]) -> str:
    """Say in one line how a run ended, or where it is."""
    counts = Counter(order.status for order in orders)
    parts = ", ".join(f"{number} {word(state)}" for state, number in sorted(counts.items()))
    took = ""
    if run.finished_at is not None:
        took = f" in {(run.finished_at - run.accepted_at).total_seconds():.1f} s"
    why = f": {plain(run.reason)}" if run.reason else ""
    return f"Run {run.run_id} {_verb(run.status)}{took} ({parts}){why}"


def _verb(state: RunState) -> str:
    return {
        RunState.QUEUED: "is queued",
        RunState.RUNNING: "is running",
        RunState.TIMED_OUT: "timed out",
        RunState.CANCELLED: "was cancelled",
    }.get(state, word(state))


def failed_tails(console: Console, internal: Objects, orders: Sequence[OrderRow]) -> None:
    """Show the end of the log of every order that did not succeed though it ran."""
    for order in orders:
        if order.status not in {OrderState.FAILED, OrderState.TIMED_OUT} or order.dispatched_at is None:
            continue
        try:
            result = Result.from_stored(internal.get(keys.result(order.run_id, order.order_num)))
        except (IacCiError, ValueError):
            continue
        console.print(Text(f"\n{order.order_name} {word(order.status)}: {plain(order.reason or 'no reason')}", "bold"))
        lines = plain(result.log_tail).splitlines()
        if len(lines) > _TAIL_LINES or result.log_truncated:
            console.print(Text(f"  … (the whole log: iac-ci logs {order.run_id} {order.order_name})", "dim"))
        for line in lines[-_TAIL_LINES:]:
            console.print(Text(f"  {line}"))
