"""The comment that a run leaves on its pull request: pure Markdown from rows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from iac_ci_common.graph import Readiness, readiness
from iac_ci_common.states import OrderState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iac_ci_common.models.rows import OrderRow, RunRow

MAX_COMMENT_CHARS: Final = 65_536
"""GitHub refuses longer comments."""

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+.!|~@&-])")
_BROKEN = re.compile(r"[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]+")


def marker(run_id: str) -> str:
    """Give the hidden text by which the run's comment is found again."""
    return f"<!-- iac-ci:{run_id} -->"


def waits_for(order: OrderRow, by_num: Mapping[str, OrderRow]) -> str:
    """Say in plain words what an order waits for or why it ended; empty if there is nothing to say."""
    if order.status is not OrderState.QUEUED:
        return order.reason or ""
    if readiness(order, by_num)[0] is Readiness.READY:
        return "a free worker"
    unfinished = [by_num[num].order_name for num in order.dependencies if num in by_num and not by_num[num].ended_at]
    return ", ".join(unfinished[:5]) + (f" and {len(unfinished) - 5} more" if len(unfinished) > 5 else "")


def duration(order: OrderRow) -> str:
    """Give how long an order ran, as a person says it; empty while unknown."""
    if order.started_at is None or order.ended_at is None:
        return ""
    seconds = (order.ended_at - order.started_at).total_seconds()
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def render(run: RunRow, orders: Sequence[OrderRow]) -> str:
    """Write the whole comment; a table that is too long for the host is shortened and says so."""
    by_num = {order.order_num: order for order in orders}
    head = [marker(run.run_id)]
    if run.report is not None and run.report.search_tag:
        head.append(escape(run.report.search_tag))
    head.append(f"### iac-ci run `{run.run_id}`: {run.status.value}")
    if run.reason or run.preparation_error:
        head.append(escape(run.reason or run.preparation_error or ""))
    head.append("| Order | State | Duration | Waits for, or why |\n|---|---|---|---|")
    text = "\n\n".join(head)
    foot = f"\n\nFlow `{run.flow_id}`"
    room = MAX_COMMENT_CHARS - len(text) - len(foot) - 100
    for index, order in enumerate(orders):
        line = f"\n| {escape(order.order_name)} | {order.status.value} | {duration(order)} | "
        line += f"{escape(waits_for(order, by_num))} |"
        room -= len(line)
        if room < 0:
            text += f"\n\n{len(orders) - index} more orders are not shown: the comment would be too long."
            break
        text += line
    return text + foot


def escape(text: str) -> str:
    """Make any text harmless inside a Markdown table: no markup, no mention, no line break, no reversed writing."""
    return _SPECIAL.sub(r"\\\1", _BROKEN.sub(" ", text)).replace("\\@", "\\@\u200b")
