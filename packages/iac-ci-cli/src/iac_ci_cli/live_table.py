"""The table of a run on a terminal of any size: orders that need attention first, finished ones folded. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from iac_ci_cli.render import ATTENTION, COLOURS, changes, duration_at, state_of, totals, word
from iac_ci_cli.text import plain
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


def live_table(rows: RunRows, height: int, now: datetime) -> RenderableType:
    """Return a table that fits ``height`` lines, the cursor's included: at least the totals, then as much as fits.

    Each order takes one line. If not all fit, those that need attention come first, and the others are counted.
    """
    room = height - 2
    foot = _one_line(_foot(rows, now), "bold")
    if room < 1:
        return Group(foot)
    has_heading = room >= 3
    shown, left_out = _choose(rows.orders, room - has_heading)
    folded = [_one_line(f"… {len(left_out)} more: {totals(left_out)}", "dim")] if left_out and room > 1 else []
    return Group(_table(rows, shown, now, has_heading=has_heading), *folded, foot)


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


def _table(rows: RunRows, shown: Sequence[OrderRow], now: datetime, *, has_heading: bool) -> Table:
    by_num = {order.order_num: order for order in rows.orders}
    with_changes = any(changes(order) for order in rows.orders)
    headings = ["Order", "State", "Duration", *(["Changes"] if with_changes else []), "Waits for, or reason"]
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=has_heading)
    for heading in headings:
        table.add_column(heading, overflow="ellipsis", no_wrap=True)
    for order in shown:
        reason = " ".join(plain(waits_for(order, by_num)).split())
        cells = [Text(order.order_name), Text(state_of(order), style=COLOURS.get(order.status, ""))]
        cells += [Text(duration_at(order, now)), *([Text(changes(order))] if with_changes else []), Text(reason)]
        table.add_row(*cells)
    return table


def _foot(rows: RunRows, now: datetime) -> str:
    counted = f"{len(rows.orders)} order{'' if len(rows.orders) == 1 else 's'}"
    if rows.run is None:
        return counted
    elapsed = span((rows.run.finished_at or now) - rows.run.accepted_at)
    return f"{counted} · {word(rows.run.status)} · {elapsed} · {totals(rows.orders)}"


def _one_line(text: str, style: str) -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")


__all__ = ["live_table"]
