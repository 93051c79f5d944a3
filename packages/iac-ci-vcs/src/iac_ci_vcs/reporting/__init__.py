"""Renders a run's comment and commit statuses from its rows. Pure."""

from iac_ci_vcs.reporting.comment import FailedLog, render
from iac_ci_vcs.reporting.commit_status import MAX_DESCRIPTION_CHARS, commit_status, order_statuses, target_status
from iac_ci_vcs.reporting.markdown import escape
from iac_ci_vcs.reporting.plans import OrderPlan
from iac_ci_vcs.reporting.style import is_marked, marker

__all__ = [
    "MAX_DESCRIPTION_CHARS",
    "FailedLog",
    "OrderPlan",
    "commit_status",
    "escape",
    "is_marked",
    "marker",
    "order_statuses",
    "render",
    "target_status",
]
