"""Renders the comments about a plan that is stale. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_vcs.reporting.markdown import code, escape
from iac_ci_vcs.reporting.style import marker

if TYPE_CHECKING:
    from iac_ci_common.models.saved_plan import PlanRecord, ProjectApply
    from iac_ci_vcs.provider import CommentStyle


def stale_name(record: PlanRecord) -> str:
    """Return the name of the comment about a project's plan, of which a pull request has one at most."""
    return f"stale:{record.key.rpartition('#')[2][:16]}"


def render_stale(record: PlanRecord, by: ProjectApply, style: CommentStyle, *, replans: bool = False) -> str:
    """Return the comment that a plan is stale, and why; ``replans`` says that it is made again by itself."""
    whose = f"Pull request {by.pull_request}" if by.pull_request is not None else "Another run"
    text = (
        f"**The plan of {escape(record.name)} is stale.** {whose} applied the project (run `{by.run_id}`), so that the"
        f" plan of run `{record.saved.run_id}` is not applied any more. "
    )
    text += (
        f"The engine plans it again. If no new plan follows, plan it with {_way_on(record)}."
        if replans
        else f"Plan it again with {_way_on(record)}."
    )
    return f"{marker(stale_name(record), has_html=style.has_html)}\n\n{text}"


def _way_on(record: PlanRecord) -> str:
    planner = record.planner or f"/iac-ci {record.job}"
    return f"the comment {code(planner)}" if planner.startswith("/") else planner


def render_planned_again(record: PlanRecord, style: CommentStyle) -> str:
    """Return what replaces that comment when the project was planned again."""
    text = f"{escape(record.name)} was planned again in run `{record.saved.run_id}`."
    return f"{marker(stale_name(record), has_html=style.has_html)}\n\n{text}"
