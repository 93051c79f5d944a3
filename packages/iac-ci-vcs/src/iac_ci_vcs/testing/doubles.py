"""Reports and git in memory."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from iac_ci_common.errors import PreparationFailed
from iac_ci_common.models.commit_job import StalePlan
from iac_ci_common.testing import FakeClock, MemoryCommitJobs
from iac_ci_common.tree import Entry, EntryKind, Tree
from iac_ci_vcs.commit_jobs import set_job_status, set_planned_status, set_stale_status
from iac_ci_vcs.drift_issues import write_issues
from iac_ci_vcs.merges import Merged
from iac_ci_vcs.provider import CommentStyle, CommitState, CommitStatus
from iac_ci_vcs.pull_request_merges import merge_applied
from iac_ci_vcs.reporting.stale_plan import render_planned_again, render_stale
from iac_ci_vcs.testing.memory_code_host import MemoryCodeHost

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from iac_ci_common.models.commit_job import JobPart, Plans
    from iac_ci_common.models.rows import ReportTarget
    from iac_ci_common.models.saved_plan import PlanRecord, ProjectApply
    from iac_ci_vcs.drift import Drift, ReportedDrift
    from iac_ci_vcs.merge_verdicts import MergeReport
    from iac_ci_vcs.merges import Merge

_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryReports:
    """Comments by run."""

    def __init__(self) -> None:
        """Start without comments and statuses."""
        self.bodies: dict[str, str] = {}
        self.created: list[str] = []
        """The runs of the comments that were created, in this order."""
        self.statuses: list[CommitStatus] = []
        self.notices: list[tuple[int, str]] = []
        self.clock = FakeClock(_MOMENT)
        self.commit_jobs = MemoryCommitJobs(self.clock)
        self.closed: set[int] = set()
        self.issue_host = MemoryCodeHost()
        self.merge_host = MemoryCodeHost()

    def session(self) -> AbstractContextManager[None]:
        """Do nothing: there is nothing to open."""
        return nullcontext()

    def publish(
        self,
        target: ReportTarget,
        *,
        run_id: str,
        write: Callable[[CommentStyle], str],
        is_first: bool = False,
        comment_id: str | None = None,
    ) -> str:
        """Store the run's comment, in the style of GitHub."""
        if is_first or run_id not in self.bodies:
            self.created.append(run_id)
        self.bodies[run_id] = write(CommentStyle())
        return f"comment of {run_id}"

    def mark(self, target: ReportTarget, status: CommitStatus) -> None:
        """Store the status."""
        self.statuses.append(status)

    def mark_job(self, target: ReportTarget, own: CommitStatus, part: JobPart) -> None:
        """Store the folded status, with all other pull requests open."""
        set_job_status(
            self.commit_jobs,
            target.repository,
            own,
            part,
            now=self.clock.now(),
            is_open=lambda number: number not in self.closed,
            mark=self.statuses.append,
        )

    def notify_stale(
        self, target: ReportTarget, record: PlanRecord, by: ProjectApply, *, replans: bool = False
    ) -> bool:
        """Store the comment and the status, unless the pull request is closed."""
        if record.pull_request in self.closed:
            return False
        self.notices.append((record.pull_request, render_stale(record, by, CommentStyle(), replans=replans)))
        stale = StalePlan(record.pull_request, record.base, record.saved.run_id, record.saved.order_name)
        own = CommitStatus(record.commit, f"iac-ci/{record.job}", CommitState.PENDING, "")
        set_stale_status(
            self.commit_jobs, target.repository, own, stale, now=self.clock.now(), mark=self.statuses.append
        )
        return True

    def notify_planned_again(self, target: ReportTarget, record: PlanRecord) -> None:
        """Store the comment."""
        self.notices.append((record.pull_request, render_planned_again(record, CommentStyle())))

    def report_drift(self, target: ReportTarget, drifts: Sequence[Drift]) -> list[ReportedDrift]:
        """Write the issues of ``issue_host``."""
        return write_issues(self.issue_host, drifts)

    def merge_applied(self, target: ReportTarget, commit: str) -> MergeReport:
        """Merge the pull request of ``merge_host``."""
        return merge_applied(self.merge_host, self.commit_jobs, target, commit, CommentStyle())

    def mark_planned(self, target: ReportTarget, own: CommitStatus, plans: Plans) -> None:
        """Store the status of a job that waits for comments."""
        set_planned_status(
            self.commit_jobs, target.repository, own, plans, now=self.clock.now(), mark=self.statuses.append
        )


class MemoryRepositories:
    """Trees by repository and commit."""

    def __init__(self, trees: Mapping[tuple[str, str], Mapping[str, bytes]] | None = None) -> None:
        """Store files by path for each repository and commit."""
        self.trees = dict(trees or {})

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
        """Write the tree into the folder; a merge has the files of the commit."""
        if (repository, commit) not in self.trees:
            raise PreparationFailed(f"{repository} has no commit {commit}")
        for name, body in self.trees[(repository, commit)].items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        return None if merge is None else Merged(merge.host_commit or commit)

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
        """Return the tree's paths and the content of the chosen files; a merge has the files of both commits."""
        if (repository, commit) not in self.trees:
            raise PreparationFailed(f"{repository} has no commit {commit}")
        base = self.trees.get((merge.repository or repository, merge.into), {}) if merge is not None else {}
        files = {**base, **self.trees[(repository, commit)]}
        entries = {
            path: Entry(EntryKind.FILE, len(content), hashlib.sha256(content).hexdigest())
            for path, content in files.items()
        }
        return Tree(entries, {path: files[path] for path in choose(entries) if len(files[path]) <= max_bytes})
