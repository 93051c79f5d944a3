"""What the engine remembers of one pull request or branch: which runs it started there, and what was approved."""

from __future__ import annotations

from typing import Final

from iac_ci_common.models.base import Moment, Name, RunId, StoredShape

MAX_RUNS: Final = 50
"""Most runs that are remembered, the newest."""


class StartedRun(StoredShape):
    """A run that an event started: ``job`` of the configuration, at commit ``sha``.

    ``intent`` is what asked for it, so that it is not started again by another delivery of the same: ``event``, or the
    comment's id and the place of the command in it. ``cancel_reason``: somebody wants it to end; the preparation looks
    here too, for a run that has no rows yet cannot be told otherwise.
    """

    run_id: RunId
    job: Name
    sha: str
    intent: str
    started_at: Moment
    cancel_reason: str | None = None


class Ledger(StoredShape):
    """One pull request or branch. ``version`` counts the writes; every write is conditional on the one that was read.

    ``approved_sha`` is the one commit of an untrusted pull request that may run; another commit is another decision.
    """

    key: str
    version: int = 0
    approved_sha: str | None = None
    approved_by: str | None = None
    runs: tuple[StartedRun, ...] = ()
    expires_at: Moment

    def run(self, run_id: str) -> StartedRun | None:
        """Return the entry of a run."""
        return next((run for run in self.runs if run.run_id == run_id), None)
