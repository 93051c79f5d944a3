"""Renders a run's comment and commit statuses from its rows. Pure."""

from iac_ci_vcs.reporting.comment import FailedLog, marker, render
from iac_ci_vcs.reporting.commit_status import MAX_DESCRIPTION_CHARS, commit_status, order_statuses, target_status
from iac_ci_vcs.reporting.markdown import escape

__all__ = [
    "MAX_DESCRIPTION_CHARS",
    "FailedLog",
    "commit_status",
    "escape",
    "marker",
    "order_statuses",
    "render",
    "target_status",
]
