"""Merges a run's pull request when everything that it planned has been applied. It may be repeated."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import IacCiError
from iac_ci_common.limits import MERGE_SECONDS
from iac_ci_common.run_events import run_event
from iac_ci_vcs.merge_verdicts import MergeStep

if TYPE_CHECKING:
    from iac_ci_common.models.rows import RunRow
    from iac_ci_orchestrator.ports import OrchestratorPorts

MERGED: Final = "merged"
NOT_MERGED: Final = "not_merged"
"""Kinds of events about the merge."""

_LONGEST: Final = timedelta(seconds=MERGE_SECONDS)


class Merger:
    """Merges at the end of a run. What the code host refuses is recorded and written there, and fails no run."""

    def __init__(self, ports: OrchestratorPorts) -> None:
        """Use these ports."""
        self._ports = ports

    def finish(self, run: RunRow, unset: IacCiError | None) -> bool:
        """Merge the pull request of a run that has ended, if it is time; return False if it has to be tried again.

        ``unset`` is why the run's own status could not be set: a rule of the branch may wait for it.
        """
        report = run.report
        scope = report.scope if report is not None else None
        if report is None or scope is None or not scope.merge_when_applied or run.commit_hash is None:
            return True
        if unset is not None:
            return self._failed(run, unset)
        try:
            done = self._ports.reports.merge_applied(report, run.commit_hash)
        except IacCiError as error:
            return self._failed(run, error)
        if done.verdict.step is MergeStep.WAIT:
            self._ports.logger.info("pull request not merged yet", run_id=run.run_id, reason=done.verdict.reason)
            return True
        self._record(run, MERGED if done.verdict.step is MergeStep.MERGE else NOT_MERGED, done.verdict.reason)
        if done.comment_error is not None:
            self._record(run, "comment_failed", done.comment_error.message)
        return True

    def _failed(self, run: RunRow, error: IacCiError) -> bool:
        """Return whether the merge is given up; the watchdog wakes a run whose last steps are missing."""
        self._ports.logger.warning(
            "merge of the pull request failed", run_id=run.run_id, trace_id=run.trace_id, error=error.message
        )
        if error.retry_is_safe and self._ports.clock.now() < (run.finished_at or run.deadline) + _LONGEST:
            return False
        self._record(run, NOT_MERGED, f"{error.message}; merge the pull request yourself")
        return True

    def _record(self, run: RunRow, kind: str, reason: str) -> None:
        """Record an event; the moment is the run's end, so that a repetition records the same one."""
        at = run.finished_at or self._ports.clock.now()
        self._ports.runs.record([run_event(run, at, kind=kind, reason=reason[:1024])])


__all__ = ["MERGED", "NOT_MERGED", "Merger"]
