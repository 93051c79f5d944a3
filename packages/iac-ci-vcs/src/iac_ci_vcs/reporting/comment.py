"""Renders a run's comment on its pull request as Markdown. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common.models.changes import Operation
from iac_ci_common.progress import duration, state_words, waits_for
from iac_ci_common.states import OrderState
from iac_ci_vcs.provider import CommentStyle
from iac_ci_vcs.reporting.commit_status import behind
from iac_ci_vcs.reporting.identities import without_identities
from iac_ci_vcs.reporting.markdown import code, escape, fence, plain
from iac_ci_vcs.reporting.plans import SHORTEST_CHARS, OrderPlan, destroys, render_plans
from iac_ci_vcs.reporting.question import question
from iac_ci_vcs.reporting.style import block_end, block_start, marker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from iac_ci_common.models.rows import OrderRow, RequirementTick, RunRow

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
_NAME_CHARS: Final = 120

_MOST_APPROVALS: Final = 5
"""Most orders whose approval is explained above the table."""

_SIGNS: Final = {"met": "✓", "not met": "✗", "not known": "?"}
"""Signs before requirements, by how they stand."""

PLAN_CHARS: Final = 16
"""Characters of a plan's SHA-256 that a comment shows."""


@dataclass(frozen=True, slots=True)
class FailedLog:
    """The end of the log of an order that did not succeed.

    ``link`` is the URL of the whole log, None if it has none; ``earlier`` is the number of attempts before.
    """

    order_num: str
    tail: str
    is_whole: bool
    failed_command: str | None = None
    link: str | None = None
    earlier: int = 0


def render(
    run: RunRow,
    orders: Sequence[OrderRow],
    *,
    logs: Sequence[FailedLog] = (),
    plans: Sequence[OrderPlan] = (),
    status_error: str | None = None,
    page: str | None = None,
    style: CommentStyle | None = None,
) -> str:
    """Return the whole comment, of at most the characters of ``style``; it states whatever is left out.

    The table comes first; if not all orders fit, it shows failed and open ones before the others. Logs and plans share
    the remaining characters, each cut at a line or between resources. ``status_error`` is the reason why the commit's
    status could not be set, ``page`` the URL of the run's page.
    """
    style = style or CommentStyle()
    foot = f"\n\nFlow {code(run.flow_id)} · {style.command('status', run.run_id)}"
    head = _head(run, status_error, page, style) + _approvals(orders)
    table = _table(orders, style.max_chars - len(head) - len(foot))
    text = head + table
    room = style.max_chars - len(text) - len(foot)
    # Plans leave logs half of the characters, and take what logs do not use.
    kept = 0
    if logs and plans:
        wanted = len(render_plans(run.run_id, orders, plans, style, room // 2))
        kept = max(wanted, min(room // 2, len(plans) * SHORTEST_CHARS))
    shown = _logs(run, orders, logs, room - kept, style)
    return text + shown + render_plans(run.run_id, orders, plans, style, room - len(shown)) + foot


def _head(run: RunRow, status_error: str | None, page: str | None, style: CommentStyle) -> str:
    parts = [marker(run.run_id, has_html=style.has_html)]
    if run.report is not None and run.report.search_tag:
        parts.append(escape(run.report.search_tag[:_REASON_CHARS]))
    job = run.job_name or run.flow_id.rpartition(":")[2].partition("-")[2] or "job"
    scope = run.report.scope if run.report is not None else None
    target = f" {scope.target[:_NAME_CHARS]}" if scope is not None and scope.target else ""
    parts.append(f"### {escape(f'{job[:_NAME_CHARS]}{target}')}: {run.status.value}")
    facts = [f"Commit {escape(run.commit_hash)}"] if run.commit_hash else []
    if scope is not None and scope.merge_into is not None:
        facts.append(escape(f"merged into {scope.base[:_NAME_CHARS]} at {scope.merge_into[:12]}"))
    if scope is not None and (distance := behind(scope)):
        facts.append(escape(distance))
    because = scope.because if scope is not None else None
    facts.append(escape(because) if because else f"started by {escape((run.actor or run.username)[:_NAME_CHARS])}")
    facts.append(f"run `{run.run_id}`")
    if page is not None:
        facts.append(f"[page]({page})")
    parts.append(" · ".join(facts))
    why = run.reason or run.preparation_error
    if why:
        parts.append(escape(without_identities(why)[:1024]))
    if scope is not None and scope.requirements:
        parts.append(_requirements(scope.requirements))
    if status_error:
        shown = escape(without_identities(status_error)[:_REASON_CHARS])
        parts.append(f"The commit's status could not be set: {shown}")
    return "\n\n".join(parts)


def _approvals(orders: Sequence[OrderRow]) -> str:
    """Return what orders that wait for an approval ask; the table has the others."""
    waiting = [order for order in orders if order.awaits_answer]
    text = "".join(f"\n\n{question(order)}" for order in waiting[:_MOST_APPROVALS])
    if len(waiting) > _MOST_APPROVALS:
        text += f"\n\n{len(waiting) - _MOST_APPROVALS} more orders wait for approvals."
    return text


def _requirements(ticks: Sequence[RequirementTick]) -> str:
    """Return the requirements of the commands that apply what the run plans."""
    by_command: dict[str, list[RequirementTick]] = {}
    for tick in ticks:
        by_command.setdefault(tick.command, []).append(tick)
    return "\n\n".join(
        f"{code(command)} asks again for these requirements; when this run was started they stood so:\n"
        + "".join(f"\n- {_SIGNS.get(tick.standing, '?')} {_requirement(tick)}" for tick in listed)
        for command, listed in by_command.items()
    )


def _requirement(tick: RequirementTick) -> str:
    text = escape(without_identities(tick.text)[:_REASON_CHARS])
    return text if tick.standing == "met" else f"{text} ({escape(tick.standing[:_NAME_CHARS])})"


def _table(orders: Sequence[OrderRow], room: int) -> str:
    if not orders:
        return ""
    by_num = {order.order_num: order for order in orders}
    with_changes = any(order.changes or order.changes_unknown or order.plan_sha256 for order in orders)
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
    cells = [escape(order.order_name), state_words(order)]
    if with_changes:
        verb = " applied" if order.changes and order.changes.operation is Operation.APPLIED else ""
        unknown = "unknown" if order.changes_unknown else ""
        changes = f"{code(str(order.changes))}{verb}" if order.changes else unknown
        kind = "plan to destroy" if destroys(order) else "plan"
        plan = f"{kind} {code(order.plan_sha256[:PLAN_CHARS])}" if order.plan_sha256 else ""
        cells.append(", ".join(part for part in (changes, plan) if part))
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


def _logs(run: RunRow, orders: Sequence[OrderRow], logs: Sequence[FailedLog], room: int, style: CommentStyle) -> str:
    by_num = {order.order_num: order for order in orders}
    left = [log for log in logs if log.order_num in by_num]
    text = ""
    while left:
        # Characters that one log does not use go to the others.
        share = (room - _MORE_CHARS) // len(left)
        if share < _SHORTEST_LOG_CHARS:
            more = (
                f"\n\nThe logs of {len(left)} more orders are not shown, the comment would be too long: "
                f"{style.command('logs', run.run_id, 'ORDER')}"
            )
            return text + (more if len(more) <= room else "")
        section = _section(run, by_num[left[0].order_num], left[0], share, style)
        text += section
        room -= len(section)
        left = left[1:]
    return text


def _section(run: RunRow, order: OrderRow, log: FailedLog, room: int, style: CommentStyle) -> str:
    whole = style.command("logs", run.run_id, log.order_num) + (f" or [here]({log.link})" if log.link else "")
    whole += "".join(_earlier(run, log, style))
    failed = f"{code(log.failed_command[:_REASON_CHARS])} failed.\n\n" if log.failed_command else ""
    before = f"{block_start(style, f'Log of {order.order_name}')}{failed}"
    after = f"\n\nThe whole log: {whole}{block_end(style)}"
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


def _earlier(run: RunRow, log: FailedLog, style: CommentStyle) -> Iterator[str]:
    for number in range(1, log.earlier + 1):
        yield f"; of attempt {number}: {style.command('logs', run.run_id, log.order_num, f'--attempt {number}')}"


def _without_beginning(text: str, chars: int) -> str:
    """Remove at least ``chars`` characters from the beginning, up to the end of a line if there is one."""
    rest = text[chars:]
    line = rest.find("\n")
    return rest[line + 1 :] if 0 <= line < len(rest) - 1 else rest
