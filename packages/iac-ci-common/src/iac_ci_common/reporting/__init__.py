"""What a run says on its pull request: pure text from rows."""

from iac_ci_common.reporting.comment import FailedLog, did_not_succeed, duration, marker, render, waits_for
from iac_ci_common.reporting.commit_status import CommitState, CommitStatus, commit_status, order_statuses
from iac_ci_common.reporting.markdown import escape

__all__ = [
    "CommitState",
    "CommitStatus",
    "FailedLog",
    "commit_status",
    "did_not_succeed",
    "duration",
    "escape",
    "marker",
    "order_statuses",
    "render",
    "waits_for",
]
