"""Renders what orders that wait for an approval ask. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iac_ci_common.progress import state_words
from iac_ci_common.states import TERMINAL
from iac_ci_vcs.reporting.identities import without_identities
from iac_ci_vcs.reporting.markdown import code, escape
from iac_ci_vcs.reporting.style import marker

if TYPE_CHECKING:
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_vcs.provider import CommentStyle

APPROVE: Final = "/iac-ci approve"
REJECT: Final = "/iac-ci reject"

_CHARS: Final = 300


def question_name(order: OrderRow) -> str:
    """Return the name of the comment that asks for an order's approval, which its hidden marker contains."""
    return f"question:{order.run_id}/{order.order_num}"


def question(order: OrderRow) -> str:
    """Return what a waiting order asks, and how to answer in a comment if people may."""
    text = f"**{escape(order.order_name)}** waits for {_escaped(order.waiting_for or '')}."
    approval = order.approval
    if approval is not None and approval.message is not None:
        text += f" {_escaped(approval.message)}"
    if approval is not None and approval.by:
        text += f"\n\n```\n{APPROVE} {order.order_name}\n```\n\nor {code(f'{REJECT} {order.order_name}')}"
    return text


def render_question(run: RunRow, order: OrderRow, style: CommentStyle) -> str:
    """Return the comment that asks for an order's approval, or that says how the order has ended."""
    text = question(order)
    if order.status in TERMINAL:
        text = f"**{escape(order.order_name)}** {state_words(order).replace('_', ' ')}: {_escaped(order.reason or '')}"
    commit = f"\n\nCommit {escape(run.commit_hash)} · run `{run.run_id}`" if run.commit_hash else ""
    return f"{marker(question_name(order), has_html=style.has_html)}\n\n{text}{commit}"


def _escaped(text: str) -> str:
    return escape(without_identities(text)[:_CHARS])
