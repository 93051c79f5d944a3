"""What a run says on its pull request: pure text from rows."""

from iac_ci_common.reporting.comment import FailedLog, marker, render, waits_for
from iac_ci_common.reporting.markdown import escape

__all__ = ["FailedLog", "escape", "marker", "render", "waits_for"]
