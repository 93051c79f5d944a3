"""The newest states of jobs on commits, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.errors import ConditionFailed

if TYPE_CHECKING:
    from iac_ci_common.models.commit_job import CommitJob
    from iac_ci_common.ports import Clock


class MemoryCommitJobs:
    """A dictionary of frozen models."""

    def __init__(self, clock: Clock) -> None:
        """Start empty; ``clock`` decides which have expired."""
        self.jobs: dict[str, CommitJob] = {}
        self._clock = clock

    def read(self, key: str) -> CommitJob | None:
        """Return a job on a commit, None if there is none or it has expired."""
        job = self.jobs.get(key)
        return job if job is not None and job.expires_at > self._clock.now() else None

    def write(self, job: CommitJob) -> CommitJob:
        """Write the next version."""
        current = self.read(job.key)
        if (current.version if current is not None else 0) != job.version:
            raise ConditionFailed("another run changed the job of the commit", retry_is_safe=True)
        written = job.model_copy(update={"version": job.version + 1})
        self.jobs[job.key] = written
        return written
