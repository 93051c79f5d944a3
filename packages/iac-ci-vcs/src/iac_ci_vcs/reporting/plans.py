"""Renders the plans of orders, each as a diff in a collapsed block. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common.models.changes import Operation
from iac_ci_vcs.reporting.markdown import escape, fence, plain
from iac_ci_vcs.reporting.style import block_end, block_start, heading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iac_ci_common.models.plan_text import PlannedResource, PlanText
    from iac_ci_common.models.rows import OrderRow
    from iac_ci_vcs.provider import CommentStyle

SHORTEST_CHARS: Final = 600
"""Fewest characters of a plan that are worth a block."""

_MORE_CHARS: Final = 200
_NAMED: Final = 3
"""Most resources of one kind that a summary line names."""

_NAME_CHARS: Final = 120
_SUMMARY_CHARS: Final = 400
_WARNINGS: Final = 5
_WARNING_CHARS: Final = 300
_VERBS: Final = {"delete": "destroys", "replace": "replaces", "forget": "forgets"}


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """The text of an order's plans. ``link`` is the URL of the whole log, if there is one."""

    order_num: str
    text: PlanText
    link: str | None = None


def render_plans(
    run_id: str, orders: Sequence[OrderRow], plans: Sequence[OrderPlan], style: CommentStyle, room: int
) -> str:
    """Return the blocks of the plans in at most ``room`` characters, what destroys first.

    Plans are cut between resources, and what is left out is counted with the command that shows it.
    """
    by_num = {order.order_num: order for order in orders}
    wanted = sorted((plan for plan in plans if plan.order_num in by_num), key=lambda plan: _urgency(by_num, plan))
    room -= _MORE_CHARS
    fit = max(room, 0) // SHORTEST_CHARS
    hidden = len(wanted) - len(wanted[:fit])
    text = ""
    for number, plan in enumerate(wanted[:fit]):
        # Characters that one plan does not use go to the others.
        share = (room - len(text)) // (len(wanted[:fit]) - number)
        block = _block(run_id, by_num[plan.order_num], plan, style, share)
        text += block
        hidden += not block
    if hidden:
        more = (
            f"\n\nThe plans of {hidden} more orders are not shown, the comment would be too long: "
            f"{style.command('logs', run_id, 'ORDER')}"
        )
        text += more if len(more) <= room + _MORE_CHARS - len(text) else ""
    return text


def _urgency(by_num: Mapping[str, OrderRow], plan: OrderPlan) -> tuple[bool, str]:
    changes = by_num[plan.order_num].changes
    return not (changes is not None and (changes.destroy or changes.forget)), plan.order_num


def _block(run_id: str, order: OrderRow, plan: OrderPlan, style: CommentStyle, room: int) -> str:
    before = block_start(style, _title(order), _summary(order, plan.text))
    command = style.command("logs", run_id, order.order_num) + (f" or [here]({plan.link})" if plan.link else "")
    after = f"{_warnings(plan.text)}\n\nThe whole output: {command}{block_end(style)}"
    shown: list[str] = []
    body = ""
    resources = [text for one in plan.text.resources if (text := _text(one))]
    too_long = room
    for text in resources:
        # A long one does not keep the shorter ones after it from being shown.
        if len(text) >= too_long:
            continue
        left_out = plan.text.left_out + len(resources) - len(shown) - 1
        longer = _body([*shown, text], left_out)
        if len(before) + len(longer) + len(after) > room:
            too_long = len(text)
            continue
        shown.append(text)
        body = longer
    if not shown:
        body = _body([], plan.text.left_out + len(resources))
    whole = before + body + after
    return whole if len(whole) <= room else _short(order, plan.text, command, room)


def _body(shown: Sequence[str], left_out: int) -> str:
    body = fence("\n\n".join(shown), "diff") if shown else ""
    if not left_out:
        return body
    between = "\n\n" if body else ""
    return f"{body}{between}{left_out} more {'resource is' if left_out == 1 else 'resources are'} not shown."


def _short(order: OrderRow, text: PlanText, command: str, room: int) -> str:
    line = f"\n\n{heading(_title(order), _summary(order, text))}: {command}"
    return line if len(line) <= room else ""


def _text(resource: PlannedResource) -> str:
    text = plain(resource.text).rstrip()
    if resource.action == "outputs":
        return f"{f'{plain(resource.address).strip()} ' if resource.address.strip() else ''}Changes to Outputs:\n{text}"
    return text or plain(resource.address)


def _title(order: OrderRow) -> str:
    applied = order.changes is not None and order.changes.operation is Operation.APPLIED
    if destroys(order):
        return f"{'Apply of a plan' if applied else 'Plan'} to destroy: {order.order_name}"
    return f"{'Apply' if applied else 'Plan'} of {order.order_name}"


def destroys(order: OrderRow) -> bool:
    """Return whether the plan that an order made, or applies, is one to destroy; its bytes say so."""
    saved = order.project.saved if order.project is not None else None
    planned = order.planned or (saved.planned if saved is not None else None)
    return planned is not None and planned.destroys


def _summary(order: OrderRow, text: PlanText) -> str:
    summary = str(order.changes or "")
    for action, verb in _VERBS.items():
        names = [one.address[:_NAME_CHARS] for one in text.resources if one.action == action]
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            summary += f"; {verb} {', '.join(names[:_NAMED])}{more}"
    return summary if len(summary) <= _SUMMARY_CHARS else f"{summary[: _SUMMARY_CHARS - 1]}…"


def _warnings(text: PlanText) -> str:
    lines = [f"\n- Warning: {escape(warning[:_WARNING_CHARS])}" for warning in text.warnings[:_WARNINGS]]
    more = len(text.warnings) - len(lines)
    if more > 0:
        lines.append(f"\n- {more} more warnings")
    return f"\n{''.join(lines)}" if lines else ""
