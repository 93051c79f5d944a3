"""Renders the issue about a project's drift. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iac_ci_vcs.reporting.markdown import code, escape, plain
from iac_ci_vcs.reporting.plans import OrderPlan, render_plans
from iac_ci_vcs.reporting.style import marker

if TYPE_CHECKING:
    from iac_ci_vcs.drift import Drift
    from iac_ci_vcs.provider import CommentStyle

_NAME: Final = "drift"
_TITLE_CHARS: Final = 200
_NAME_CHARS: Final = 300
_KEY_CHARS: Final = 32


def drift_marker(style: CommentStyle, key: str = "") -> str:
    """Return the beginning of the issue about a project, or of every such issue without a key."""
    whole = marker(f"{_NAME}:{key[:_KEY_CHARS]}", has_html=style.has_html)
    return whole if key else whole[: whole.index(f"{_NAME}:") + len(_NAME) + 1]


def drift_title(name: str) -> str:
    """Return the title of a project's issue: one line, in which hosts see neither a mention nor a reference."""
    flat = " ".join(plain(name).split())
    quiet = flat.replace("@", "@\u200b").replace("#", "#\u200b").replace("!", "!\u200b")
    return f"Drift: {quiet}"[:_TITLE_CHARS]


def drift_summary(drift: Drift) -> str:
    """Return in one line what would change, and of how much Terraform says that it was changed outside."""
    changes = drift.order.changes
    if changes is None or changes.is_nothing:
        return "no changes"
    own = changes.add + changes.change + changes.destroy + changes.forget - changes.replace
    outside = min(changes.outside, own)
    if changes.drift or (outside and outside == own):
        return f"{changes}; all of it was changed outside of Terraform"
    if outside:
        return f"{changes}; {outside} of {own} resources were changed outside of Terraform, the others are not applied"
    return f"{changes}; nothing was changed outside of Terraform: the configuration is not applied"


def render_drift(drift: Drift, style: CommentStyle) -> str:
    """Return the issue's text while there is drift, of at most the characters of ``style``."""
    order, run = drift.order, drift.run
    head = [
        drift_marker(style, drift.key),
        f"The infrastructure of {escape(drift.name[:_NAME_CHARS])} differs from its configuration.",
        code(drift_summary(drift)),
        _facts(drift),
    ]
    foot = (
        "\n\nThe engine edits this issue at each further run, and closes it when a run finds no changes: apply the"
        " configuration, or change it to what is there."
    )
    text = "\n\n".join(head)
    plans = [OrderPlan(order.order_num, drift.plan)] if drift.plan is not None else []
    return text + render_plans(run.run_id, [order], plans, style, style.max_chars - len(text) - len(foot)) + foot


def render_no_drift(drift: Drift, style: CommentStyle) -> str:
    """Return the last text of an issue whose drift is gone."""
    text = f"**The drift of {escape(drift.name[:_NAME_CHARS])} is gone.** A run found no changes."
    return "\n\n".join([drift_marker(style, drift.key), text, _facts(drift)])


def _facts(drift: Drift) -> str:
    run = drift.run
    facts = [f"Commit {escape(run.commit_hash)}"] if run.commit_hash else []
    facts += [f"job {escape((run.job_name or 'drift')[:_NAME_CHARS])}", f"run `{run.run_id}`"]
    return " · ".join([*facts, f"{drift.at:%Y-%m-%d %H:%M} UTC"])


__all__ = ["drift_marker", "drift_summary", "drift_title", "render_drift", "render_no_drift"]
