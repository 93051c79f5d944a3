"""Decides whether a pull request is merged because everything that it planned has been applied. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iac_ci_vcs.merge_verdicts import MergeStep, MergeVerdict
from iac_ci_vcs.reporting.folded_status import destroyed, forgiven, is_green, succeeded, unapplied
from iac_ci_vcs.reporting.markdown import code, escape
from iac_ci_vcs.reporting.style import marker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iac_ci_common.models.commit_job import CommitJob, JobOnPull
    from iac_ci_vcs.provider import CommentStyle, PullRequest

_MOST_NAMED: Final = 5
_REASON_CHARS: Final = 300


MERGE: Final = MergeVerdict(MergeStep.MERGE)


def applied_verdict(jobs: Mapping[str, CommitJob | None], number: int, base: str) -> MergeVerdict:
    """Return whether everything that a pull request planned on a commit has been applied.

    ``jobs`` are the states of all jobs that it needs before its merge, by their names; None if a job has none.
    """
    pulls: dict[str, JobOnPull] = {}
    for name, job in jobs.items():
        pull = job.pulls.get(str(number)) if job is not None else None
        if pull is None or pull.base != base:
            return MergeVerdict(MergeStep.WAIT, f"the state of the job {name} on this commit is not known")
        pulls[name] = pull
    red = next((name for name, job in jobs.items() if job is not None and not is_green(job)), None)
    if red is not None:
        return MergeVerdict(MergeStep.WAIT, f"the status of the job {red} is not success")
    if not any(succeeded(pull) for pull in pulls.values()):
        return MergeVerdict(MergeStep.WAIT, "nothing was applied")
    left = next((order for pull in pulls.values() if (order := unapplied(pull)) is not None), None)
    if left is not None:
        return MergeVerdict(MergeStep.REFUSE, f"{left} is planned and was not applied since")
    failed = [order for pull in pulls.values() for order in forgiven(pull)]
    if failed:
        return MergeVerdict(MergeStep.REFUSE, f"not everything succeeded: {_named(failed)}")
    gone = [order for pull in pulls.values() for order in destroyed(pull)]
    if gone:
        return MergeVerdict(
            MergeStep.REFUSE, f"a plan to destroy was applied, which the merge does not keep destroyed: {_named(gone)}"
        )
    return MERGE


def pull_verdict(pull: PullRequest, commit: str, base: str) -> MergeVerdict:
    """Return whether a pull request may be merged whose applies at a commit, for a base branch, have ended well."""
    if pull.is_merged:
        return MergeVerdict(MergeStep.WAIT, "it is merged")
    if not pull.is_open:
        return MergeVerdict(MergeStep.WAIT, "it is closed")
    if pull.head_sha != commit:
        return MergeVerdict(MergeStep.WAIT, f"it has a newer commit than {commit[:12]}, which was applied")
    if pull.base_branch != base:
        return MergeVerdict(MergeStep.WAIT, f"its base branch is {pull.base_branch} now; it was applied for {base}")
    return MergeVerdict(MergeStep.REFUSE, "it is a draft") if pull.is_draft else MERGE


def merge_name(commit: str) -> str:
    """Return the name of the comment about the merge of a commit, of which a pull request has one at most."""
    return f"merge:{commit[:12]}"


def render_not_merged(commit: str, reason: str, style: CommentStyle) -> str:
    """Return the comment that a pull request was not merged by itself, and why."""
    why = reason[:_REASON_CHARS].rstrip(". ")
    text = (
        f"**Everything is applied, and the pull request is not merged by itself:** {escape(why)}."
        f" Commit {code(commit[:12])} was applied. Merge this commit yourself; the engine does not try it again unless"
        " another apply or plan of the pull request ends."
    )
    return f"{marker(merge_name(commit), has_html=style.has_html)}\n\n{text}"


def render_merged(commit: str, style: CommentStyle) -> str:
    """Return what replaces that comment when the pull request was merged after all."""
    text = f"The pull request was merged at the applied commit {code(commit[:12])}."
    return f"{marker(merge_name(commit), has_html=style.has_html)}\n\n{text}"


def _named(orders: Sequence[str]) -> str:
    more = len(orders) - _MOST_NAMED
    return ", ".join(orders[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


__all__ = [
    "MERGE",
    "applied_verdict",
    "merge_name",
    "pull_verdict",
    "render_merged",
    "render_not_merged",
]
