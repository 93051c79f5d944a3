"""The run's lock and the remembered deliveries: rows of the locks table."""

from __future__ import annotations

from iac_ci_common.models.base import Moment, RunId, StoredShape


class Lock(StoredShape):
    """A lease on a run. ``doorbell`` grows with every event, ``token`` whenever somebody takes over.

    ``rung`` collects what the events told since the lock was last let go: numbers of orders whose results came, and
    wishes to look for all. ``answered`` is what the doorbell read then, for whoever looks why a run waits. An owner's
    name is his own for this once, so that name and token together tell one holder from every other. ``reported_at`` and
    ``comment_behind`` tell the next holder when the pull request was last told of the run, and whether something has
    happened since.
    """

    run_id: RunId
    owner: str | None = None
    lease_until: Moment | None = None
    token: int = 0
    doorbell: int = 0
    answered: int = 0
    rung: frozenset[str] = frozenset()
    completed: bool = False
    reported_at: Moment | None = None
    comment_behind: bool = False
    expires_at: Moment

    def held(self, now: Moment) -> bool:
        """Return whether somebody's lease is alive; an expired one counts as none, whatever the table still shows."""
        return self.owner is not None and self.lease_until is not None and self.lease_until > now


class Delivery(StoredShape):
    """A request that was seen before, and the answer it got."""

    key: str
    run_id: RunId
    body_sha256: str
    answer: str | None = None
    expires_at: Moment
