"""Rows of the locks table: the run's lock and the remembered deliveries."""

from __future__ import annotations

from iac_ci_common.models.base import Moment, RunId, StoredShape


class Lock(StoredShape):
    """A lease on a run. Every event increments ``doorbell``; every change of the owner increments ``token``.

    ``rung`` lists the events since the last release: the numbers of orders with new results, and entries ``all-…`` that
    ask to check all orders. ``answered`` is the doorbell at the last release. ``changed_rows`` lists the rows that the
    last releases changed, the newest last, each release as ``<doorbell>:<numbers>``; ``changed_values`` is what became
    of them in the newest of these releases, compressed. Each invocation has a new owner's name, so name and token
    together identify one owner. ``reported_at`` is when the run's comment was last updated, ``comment_behind`` whether
    the run has changed since. ``announced`` are the orders whose waits for approvals were put on the event bus,
    ``announce_at`` is when what it did not accept is put again, None if nothing is missing. ``finished`` says that of
    the steps of the run's end only announcements are missing.
    """

    run_id: RunId
    owner: str | None = None
    lease_until: Moment | None = None
    token: int = 0
    doorbell: int = 0
    answered: int = 0
    changed_rows: tuple[str, ...] = ()
    changed_values: str = ""
    rung: frozenset[str] = frozenset()
    completed: bool = False
    reported_at: Moment | None = None
    comment_behind: bool = False
    announced: frozenset[str] = frozenset()
    announce_at: Moment | None = None
    finished: bool = False
    expires_at: Moment

    def held(self, now: Moment) -> bool:
        """Return whether the lock has a lease that has not expired at ``now``."""
        return self.owner is not None and self.lease_until is not None and self.lease_until > now


class Delivery(StoredShape):
    """A received delivery and the answer to it."""

    key: str
    run_id: RunId
    body_sha256: str
    answer: str | None = None
    expires_at: Moment
