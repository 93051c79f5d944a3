"""Renders a run's comment on its pull request as Markdown. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common.models.changes import Operation
from iac_ci_common.progress import duration, waits_for
from iac_ci_common.states import OrderState
from iac_ci_vcs.reporting.identities import without_identities
from iac_ci_vcs.reporting.markdown import code, escape, fence, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iac_ci_common.models.rows import OrderRow, RunRow

MAX_COMMENT_CHARS: Final = 65_536
"""GitHub's limit for a comment, in characters; other providers have their own."""

_ATTENTION: Final = (
    OrderState.FAILED,
    OrderState.TIMED_OUT,
    OrderState.RUNNING,
    OrderState.DISPATCHING,
    OrderState.CANCELLED,
    OrderState.SKIPPED,
    OrderState.QUEUED,
    OrderState.SUCCEEDED,
)
"""States in the order in which orders are shown if not all fit."""

_SHORTEST_LOG_CHARS: Final = 400
_MORE_CHARS: Final = 200
_REASON_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class FailedLog:
    """The end of the log of an order that did not succeed. ``link`` is the URL of the whole log, if there is one."""

    order_num: str
    tail: str
    is_whole: bool
    failed_command: str | None = None
    link: str | None = None


def marker(run_id: str) -> str:
    """Return the hidden text that the run's comment begins with; it identifies the comment later."""
    return f"<!-- iac-ci:{run_id} -->"


def render(
    run: RunRow,
    orders: Sequence[OrderRow],
    *,
    logs: Sequence[FailedLog] = (),
    status_error: str | None = None,
    limit: int = MAX_COMMENT_CHARS,
) -> str:
    """Return the whole comment, of at most ``limit`` characters; it states whatever is left out.

    The table comes first; if not all orders fit, it shows failed and open ones before the others. The logs share the
    remaining characters, each cut at a line. ``status_error`` is the reason why the commit's status could not be set.
    """
    foot = f"\n\nFlow {code(run.flow_id)} · `iac-ci status {run.run_id}`"
    head = _head(run, status_error)
    table = _table(orders, limit - len(head) - len(foot))
    text = head + table
    return text + _logs(run, orders, logs, limit - len(text) - len(foot)) + foot


def _head(run: RunRow, status_error: str | None) -> str:
    parts = [marker(run.run_id)]
    if run.report is not None and run.report.search_tag:
        parts.append(escape(run.report.search_tag[:_REASON_CHARS]))
    parts.append(f"### iac-ci run `{run.run_id}`: {run.status.value}")
    why = run.reason or run.preparation_error
    if why:
        parts.append(escape(without_identities(why)[:1024]))
    if status_error:
        shown = escape(without_identities(status_error)[:_REASON_CHARS])
        parts.append(f"The commit's status could not be set: {shown}")
    return "\n\n".join(parts)


def _table(orders: Sequence[OrderRow], room: int) -> str:
    if not orders:
        return ""
    by_num = {order.order_num: order for order in orders}
    with_changes = any(order.changes for order in orders)
    text = "\n\n| Order | State | Changes | Duration | Waits for, or why |\n|---|---|---|---|---|"
    if not with_changes:
        text = "\n\n| Order | State | Duration | Waits for, or why |\n|---|---|---|---|"
    lines = {order.order_num: _line(order, by_num, with_changes=with_changes) for order in orders}
    shown = _that_fit(orders, lines, room - len(text))
    text += "".join(lines[order.order_num] for order in orders if order.order_num in shown)
    left_out = Counter(order.status for order in orders if order.order_num not in shown)
    if left_out:
        which = ", ".join(f"{left_out[state]} {state.value}" for state in _ATTENTION if left_out[state])
        text += f"\n\n{left_out.total()} more orders are not shown, the comment would be too long: {which}."
    return text


def _line(order: OrderRow, by_num: Mapping[str, OrderRow], *, with_changes: bool) -> str:
    cells = [escape(order.order_name), order.status.value]
    if with_changes:
        verb = " applied" if order.changes and order.changes.operation is Operation.APPLIED else ""
        cells.append(f"{escape(str(order.changes))}{verb}" if order.changes else "")
    cells += [duration(order), escape(without_identities(waits_for(order, by_num))[:_REASON_CHARS])]
    return f"\n| {' | '.join(cells)} |"


def _that_fit(orders: Sequence[OrderRow], lines: Mapping[str, str], room: int) -> set[str]:
    if sum(map(len, lines.values())) <= room:
        return set(lines)
    room -= _MORE_CHARS
    shown: set[str] = set()
    for order in sorted(orders, key=lambda one: (_ATTENTION.index(one.status), one.order_num)):
        room -= len(lines[order.order_num])
        if room < 0:
            break
        shown.add(order.order_num)
    return shown


def _logs(run: RunRow, orders: Sequence[OrderRow], logs: Sequence[FailedLog], room: int) -> str:
    by_num = {order.order_num: order for order in orders}
    left = [log for log in logs if log.order_num in by_num]
    text = ""
    while left:
        # Characters that one log does not use go to the others.
        share = (room - _MORE_CHARS) // len(left)
        if share < _SHORTEST_LOG_CHARS:
            more = (
                f"\n\nThe logs of {len(left)} more orders are not shown, the comment would be too long: "
                f"`iac-ci logs {run.run_id} ORDER`"
            )
            return text + (more if len(more) <= room else "")
        section = _section(run, by_num[left[0].order_num], left[0], share)
        text += section
        room -= len(section)
        left = left[1:]
    return text


def _section(run: RunRow, order: OrderRow, log: FailedLog, room: int) -> str:
    whole = f"`iac-ci logs {run.run_id} {log.order_num}`" + (f" or [here]({log.link})" if log.link else "")
    failed = f"\n\n{code(log.failed_command[:_REASON_CHARS])} failed." if log.failed_command else ""
    before = f"\n\n<details><summary>Log of {_html(order.order_name)}</summary>{failed}\n\n"
    after = f"\n\nThe whole log: {whole}\n</details>"
    cut = "Only the end of the log is shown.\n\n"
    tail = plain(log.tail)
    # The fence grows with the longest run of backticks in the log, so its length counts too.
    body = fence(tail)
    shortened = not log.is_whole
    while len(before) + len(after) + len(body) + (len(cut) if shortened else 0) > room:
        shortened = True
        over = len(before) + len(after) + len(body) + len(cut) - room
        tail = _without_beginning(tail, max(over, 1))
        body = fence(tail)
        if not tail:
            break
    whole_section = before + (cut if shortened else "") + body + after
    return whole_section if len(whole_section) <= room else f"\n\nLog of {escape(order.order_name)}: {whole}"[:room]


def _without_beginning(text: str, chars: int) -> str:
    """Remove at least ``chars`` characters from the beginning, up to the end of a line if there is one."""
    rest = text[chars:]
    line = rest.find("\n")
    return rest[line + 1 :] if 0 <= line < len(rest) - 1 else rest


def _html(text: str) -> str:
    flat = plain(text).replace("\n", " ")
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "@\u200b")
