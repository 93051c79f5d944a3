"""The table of a run on a terminal of any size: orders that need attention first, finished ones folded. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from iac_ci_cli.render import ATTENTION, COLOURS, changes, duration_at, state_of, totals, word
from iac_ci_cli.text import one_line
from iac_ci_cli.times import span
from iac_ci_common.progress import waits_for
from iac_ci_common.states import OrderState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rich.console import RenderableType

    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import RunRows

_FOLDED: Final = OrderState.SUCCEEDED
"""What is counted, and not shown, where not all orders fit."""

_NARROW: Final = 40
"""Narrower terminals have no room for more than names and states."""


def live_table(rows: RunRows, height: int, now: datetime, *, width: int) -> RenderableType:
    """Return a table that fits ``height`` lines, the cursor's included: at least the totals, then as much as fits.

    Each order takes one line. If not all fit, those that need attention come first, and the others are counted. A
    terminal of little ``width`` shows the orders and their states alone.
    """
    room = height - 2
    foot = _one_line(_foot(rows, now), "bold")
    if room < 1:
        return Group(foot)
    has_heading = room >= 3
    shown, left_out = _choose(rows.orders, room - has_heading)
    folded = [_one_line(f"… {len(left_out)} more: {totals(left_out)}", "dim")] if left_out and room > 1 else []
    table = _table(rows, shown, now, has_heading=has_heading, is_narrow=width < _NARROW)
    return Group(table, *folded, foot)


def _choose(orders: Sequence[OrderRow], room: int) -> tuple[list[OrderRow], list[OrderRow]]:
    """Return the orders that are shown, and the others; one line of ``room`` is for their number."""
    if len(orders) <= room:
        return list(orders), []
    waiting = sorted((order for order in orders if order.status is not _FOLDED), key=_weight)
    shown = waiting[: max(1, room - 1)]
    kept = {order.order_num for order in shown}
    return shown, [order for order in orders if order.order_num not in kept]


def _weight(order: OrderRow) -> tuple[int, str]:
    return ATTENTION.index(order.status), order.order_num


def _table(rows: RunRows, shown: Sequence[OrderRow], now: datetime, *, has_heading: bool, is_narrow: bool) -> Table:
    by_num = {order.order_num: order for order in rows.orders}
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=has_heading)
    # The first and the last column give way where not everything fits: their cells are one line by themselves.
    _add(table, "Order", gives_way=True)
    _add(table, "State")
    with_changes = not is_narrow and any(changes(order) for order in rows.orders)
    if not is_narrow:
        _add(table, "Duration")
    if with_changes:
        _add(table, "Changes")
    if not is_narrow:
        _add(table, "Waits for, or reason", gives_way=True)
    for order in shown:
        cells = [_one_line(order.order_name), _one_line(state_of(order), COLOURS.get(order.status, ""))]
        if not is_narrow:
            cells.append(_one_line(duration_at(order, now)))
        if with_changes:
            cells.append(_one_line(changes(order)))
        if not is_narrow:
            cells.append(_one_line(one_line(waits_for(order, by_num))))
        table.add_row(*cells)
    return table


def _add(table: Table, heading: str, *, gives_way: bool = False) -> None:
    table.add_column(_one_line(heading), no_wrap=not gives_way, overflow="ellipsis")


def _foot(rows: RunRows, now: datetime) -> str:
    counted = f"{len(rows.orders)} order{'' if len(rows.orders) == 1 else 's'}"
    if rows.run is None:
        return counted
    elapsed = span((rows.run.finished_at or now) - rows.run.accepted_at)
    return f"{counted} · {word(rows.run.status)} · {elapsed} · {totals(rows.orders)}"


def _one_line(text: str, style: str = "") -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")


__all__ = ["live_table"]
