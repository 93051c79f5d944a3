"""The ports to code hosts and git, as Protocols.

The adapters are in this package, in-memory ones in ``iac_ci_vcs.testing``. All raise ``iac_ci_common.errors`` only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from contextlib import AbstractContextManager

    from iac_ci_common.models.commit_job import JobPart, Plans
    from iac_ci_common.models.rows import ReportTarget
    from iac_ci_common.models.saved_plan import PlanRecord, ProjectApply
    from iac_ci_common.tree import Entry, Tree
    from iac_ci_vcs.drift import Drift, ReportedDrift
    from iac_ci_vcs.merge_verdicts import MergeReport
    from iac_ci_vcs.merges import Merge, Merged
    from iac_ci_vcs.provider import CodeHost, CommentStyle, CommitStatus


class Reports(Protocol):
    """The comment on the pull request, and the status of its commit."""

    def session(self) -> AbstractContextManager[None]:
        """Open each code host at most once for all calls inside; a session inside another one is a part of it."""
        ...

    def publish(
        self,
        target: ReportTarget,
        *,
        run_id: str,
        write: Callable[[CommentStyle], str],
        is_first: bool = False,
        comment_id: str | None = None,
    ) -> str:
        """Create the run's comment, or edit it if one with the run's hidden marker exists; return its id.

        With ``is_first``, the caller is sure that there is none, and it is not searched. The comment with a
        ``comment_id`` is not searched either, unless it was deleted or the host refuses to edit it.
        ``write`` returns the comment in a given style: each host has its own limit, and not all render HTML.
        """
        ...

    def mark(self, target: ReportTarget, status: CommitStatus) -> None:
        """Set a status on a commit of the target's repository; setting it again is harmless."""
        ...

    def mark_job(self, target: ReportTarget, own: CommitStatus, part: JobPart) -> None:
        """Enter what a run knows about a job on a commit and set the job's status, folded over all runs.

        ``own`` is the status that the run alone would have.
        """
        ...

    def notify_stale(
        self, target: ReportTarget, record: PlanRecord, by: ProjectApply, *, replans: bool = False
    ) -> bool:
        """Write into a pull request of the target's repository that its plan is stale, and set its status.

        ``replans`` says that the plan is made again by itself. Do nothing and return False if the pull request is
        closed or has another head than the plan.
        """
        ...

    def notify_planned_again(self, target: ReportTarget, record: PlanRecord) -> None:
        """Replace what ``notify_stale`` wrote."""
        ...

    def mark_planned(self, target: ReportTarget, own: CommitStatus, plans: Plans) -> None:
        """Enter what plans leave to do for a job that waits for comments, and set its status if that changes it.

        Of ``own``, the commit and the context are used.
        """
        ...

    def report_drift(self, target: ReportTarget, drifts: Sequence[Drift]) -> list[ReportedDrift]:
        """Keep an issue for each project of the target's repository with drift, and return what became of each.

        Writing the same again changes nothing.
        """
        ...

    def merge_applied(self, target: ReportTarget, commit: str) -> MergeReport:
        """Merge the target's pull request at a commit if everything that it planned there has been applied.

        Only that commit is merged. If only a person can merge it, write why into the pull request. Doing it again
        changes nothing.
        """
        ...


class CodeHosts(Protocol):
    """Opens repositories on code hosts."""

    def open(self, repository: str, token_location: str) -> AbstractContextManager[CodeHost]:
        """Open a repository's host and close it afterwards; raise ``PortFailed`` if it or its secret is unusable."""
        ...


class Repositories(Protocol):
    """Fetches commits with git."""

    def checkout(
        self,
        repository: str,
        commit: str,
        folder: str,
        *,
        token: str | None,
        ssh_key: str | None,
        may_read: Callable[[str], bool] | None = None,
        merge: Merge | None = None,
    ) -> Merged | None:
        """Write the files of ``commit``, a full hash, and of its submodules into the empty ``folder``.

        With ``merge``, the files are those of its merge into another commit, which is returned; commits that conflict
        raise ``PreparationFailed``.
        The secrets are used for those submodules on the repository's host for which ``may_read`` returns True.
        """
        ...


class Trees(Protocol):
    """Reads the paths of commits, and a few of their files, with git."""

    def tree(
        self,
        repository: str,
        commit: str,
        *,
        token: str | None,
        choose: Callable[[Mapping[str, Entry]], Collection[str]],
        max_bytes: int,
        merge: Merge | None = None,
    ) -> Tree:
        """Return the paths of ``commit``, a full hash, and the content of the files and links that ``choose`` returns.

        With ``merge``, they are those of its merge into another commit; then no content is read.
        Files of more than ``max_bytes`` are not read. The sizes of entries are those of the files that were read.
        Nothing of the commit is written to a disk under its own name, and submodules are entries without files. Two
        fetches are made at most: one without any file's content, one of the chosen files.
        """
        ...


__all__ = ["CodeHosts", "Reports", "Repositories", "Trees"]
