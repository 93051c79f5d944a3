"""Merges a pull request when everything that it planned has been applied, and no other commit than the applied one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import IacCiError
from iac_ci_vcs.commit_jobs import read_jobs
from iac_ci_vcs.merge_verdicts import MergeReport, MergeStep, MergeVerdict
from iac_ci_vcs.provider import CanMerge, CommentStyle
from iac_ci_vcs.reporting.merge_readiness import (
    applied_verdict,
    merge_name,
    pull_verdict,
    render_merged,
    render_not_merged,
)
from iac_ci_vcs.reporting.style import marker

if TYPE_CHECKING:
    from iac_ci_common.models.rows import ReportTarget
    from iac_ci_common.ports import CommitJobs
    from iac_ci_vcs.provider import CodeHost

_REASON_CHARS: Final = 512


def merge_applied(
    host: CodeHost, jobs: CommitJobs, target: ReportTarget, commit: str, style: CommentStyle
) -> MergeReport:
    """Merge a run's pull request if it is time, and write into it why not if only a person can merge it.

    Doing it again changes nothing. Raises the error of a host that fails for a moment: it may merge later.
    """
    scope, number = target.scope, target.pull_request
    if scope is None or number is None or not scope.merge_when_applied:
        return MergeReport(MergeVerdict(MergeStep.WAIT, "the pull request is not to be merged by itself"))
    verdict = applied_verdict(read_jobs(jobs, target.repository, commit, scope.before_merge), number, scope.base)
    if verdict.step is MergeStep.MERGE:
        verdict = _merged(host, number, commit, scope.base)
    if verdict.step is MergeStep.WAIT:
        return MergeReport(verdict)
    is_merged = verdict.step is MergeStep.MERGE
    body = render_merged(commit, style) if is_merged else render_not_merged(commit, verdict.reason, style)
    try:
        _write(host, number, commit, body, only_if_there=is_merged)
    except IacCiError as error:
        return MergeReport(verdict, error)
    return MergeReport(verdict)


def _merged(host: CodeHost, number: int, commit: str, base: str) -> MergeVerdict:
    if not isinstance(host, CanMerge):
        return MergeVerdict(MergeStep.REFUSE, f"{host.kind} cannot be asked to merge one commit and no other")
    pull = host.pull_request(number)
    if pull.is_merged and pull.head_sha == commit:
        # A process before this one has merged it and died, or a person was faster.
        return MergeVerdict(MergeStep.MERGE, "it was merged before")
    verdict = pull_verdict(pull, commit, base)
    if verdict.step is not MergeStep.MERGE:
        return verdict
    refusal = host.merging().merge(number, commit)
    if refusal is None:
        return MergeVerdict(MergeStep.MERGE, f"merged into {base} at the applied commit {commit[:12]}")
    # A request whose answer was lost may have merged it, and a refusal may be about a newer commit.
    pull = host.pull_request(number)
    if pull.is_merged and pull.head_sha == commit:
        return MergeVerdict(MergeStep.MERGE, "it was merged before")
    verdict = pull_verdict(pull, commit, base)
    if verdict.step is not MergeStep.MERGE:
        return verdict
    return MergeVerdict(MergeStep.REFUSE, f"the code host refused it: {refusal}"[:_REASON_CHARS])


def _write(host: CodeHost, number: int, commit: str, body: str, *, only_if_there: bool) -> None:
    existing = host.find_comment(number, marker(merge_name(commit), has_html=host.comments_have_html))
    if existing is None:
        if not only_if_there:
            host.create_comment(number, body)
    elif existing.body != body:
        host.edit_comment(number, existing.id, body)


__all__ = ["merge_applied"]
