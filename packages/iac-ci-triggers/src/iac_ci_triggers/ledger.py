"""The ledger of a pull request or branch: the runs that the engine started for it, and the approved commit."""

from __future__ import annotations

from typing import Final

from iac_ci_common.models.base import Moment, Name, RunId, StoredShape

MAX_RUNS: Final = 50
"""Most runs in a ledger; older ones are removed."""


class StartedRun(StoredShape):
    """A run that an event started: ``job`` of the configuration, at commit ``sha``.

    ``intent`` identifies the request, so that a repeated delivery does not start the run again: ``event``, or the
    comment's id and the index of the command in it. ``cancel_reason`` is set when the run is cancelled; the preparation
    reads it here, because a run that is not prepared has no rows.
    """

    run_id: RunId
    job: Name
    sha: str
    intent: str
    started_at: Moment
    cancel_reason: str | None = None


class Ledger(StoredShape):
    """The ledger of one pull request or branch. ``version`` counts the writes and is the condition of each write.

    ``approved_sha`` is the one commit of an untrusted pull request that may run; each commit needs its own approval.
    """

    key: str
    version: int = 0
    approved_sha: str | None = None
    approved_by: str | None = None
    runs: tuple[StartedRun, ...] = ()
    expires_at: Moment

    def run(self, run_id: str) -> StartedRun | None:
        """Return the entry of a run, None if there is none."""
        return next((run for run in self.runs if run.run_id == run_id), None)
