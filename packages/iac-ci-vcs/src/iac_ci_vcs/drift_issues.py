"""Keeps one issue per project with drift, by a code host's issues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import IacCiError, NotFound
from iac_ci_vcs.drift import ReportedDrift
from iac_ci_vcs.provider import CommentStyle, HasIssues
from iac_ci_vcs.reporting.drift import drift_marker, drift_title, render_drift, render_no_drift

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_vcs.drift import Drift
    from iac_ci_vcs.provider import CodeHost, Issue, Issues

MAX_NEW: Final = 30
"""Most issues that one run creates: hosts limit how fast an account may write, and people how much they read."""

_NO_ISSUES: Final = "the repository has no issues, or the token may not see them"


def write_issues(host: CodeHost, drifts: Sequence[Drift]) -> list[ReportedDrift]:
    """Create, edit, close or reopen the issue of each project; writing the same again changes nothing.

    Raises the error of a host that does not answer. What it refuses for one project does not keep the others from
    being written.
    """
    if not isinstance(host, HasIssues):
        return [ReportedDrift(note=f"the engine writes no issues on {host.kind}") for _ in drifts]
    issues = host.issues()
    style = CommentStyle(host.max_comment_chars, host.comments_have_html)
    known = [drift.known_issue for drift in drifts if drift.known_issue is not None]
    try:
        own = issues.own(drift_marker(style), known)
    except NotFound as error:
        if not any(drift.is_found for drift in drifts):
            return [ReportedDrift() for _ in drifts]
        return [ReportedDrift(note=f"{_NO_ISSUES}: {error.message}"[:512], error=error) for _ in drifts]
    found: list[ReportedDrift] = []
    created = 0
    for drift in drifts:
        before = next((issue for issue in own if issue.body.startswith(drift_marker(style, drift.key))), None)
        if before is None and drift.is_found and created == MAX_NEW:
            found.append(ReportedDrift(note=f"a run creates at most {MAX_NEW} issues; a later run creates this one"))
            continue
        written = _written(issues, before, drift, style)
        created += before is None and written.issue is not None
        found.append(written)
    return found


def _written(issues: Issues, before: Issue | None, drift: Drift, style: CommentStyle) -> ReportedDrift:
    if not drift.is_found and (before is None or not before.is_open):
        return ReportedDrift(before.number if before is not None else None)
    title, body = drift_title(drift.name), (render_drift if drift.is_found else render_no_drift)(drift, style)
    try:
        if before is None:
            return ReportedDrift(issues.create(title, body).number)
        if (before.title, before.body, before.is_open) != (title, body, drift.is_found):
            issues.edit(before.number, title=title, body=body, is_open=drift.is_found)
    except IacCiError as error:
        if error.retry_is_safe:
            raise
        return ReportedDrift(note=f"the issue was not written: {error.message}"[:512], error=error)
    return ReportedDrift(before.number)


__all__ = ["MAX_NEW", "write_issues"]
