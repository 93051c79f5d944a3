"""Locks of runs in memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from iac_ci_common.errors import ConditionFailed
from iac_ci_common.models.lock import Lock

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


class MemoryLocks:
    """Locks as a dictionary of frozen models: ``RunLocks`` and ``LockReader``."""

    def __init__(self) -> None:
        """Start empty."""
        self.locks: dict[str, Lock] = {}

    def ring(
        self,
        run_id: str,
        pending: AbstractSet[str],
        *,
        owner: str,
        now: datetime,
        lease_seconds: int,
        expires_at: datetime,
    ) -> Lock:
        """Add an event to the doorbell and take the lock if it is free. A completed lock stays as it is."""
        lock = self.locks.get(run_id) or Lock(run_id=run_id, expires_at=expires_at)
        if not lock.completed:
            lock = lock.model_copy(update={"doorbell": lock.doorbell + 1, "rung": lock.rung | pending})
            if lock.owner is None:
                until = now + timedelta(seconds=lease_seconds)
                lock = lock.model_copy(update={"owner": owner, "lease_until": until})
        self.locks[run_id] = lock
        return lock

    def take(self, run_id: str, *, owner: str, now: datetime, lease_seconds: int, expires_at: datetime) -> Lock | None:
        """Take a lock that has no valid lease and is not completed; return None if it cannot be taken."""
        lock = self.locks.get(run_id) or Lock(run_id=run_id, expires_at=expires_at)
        if lock.completed or lock.held(now):
            return None
        until = now + timedelta(seconds=lease_seconds)
        counted = {"token": lock.token + 1, "doorbell": lock.doorbell + 1}
        self.locks[run_id] = lock.model_copy(update={"owner": owner, "lease_until": until, **counted})
        return self.locks[run_id]

    def renew(self, lock: Lock, *, now: datetime, lease_seconds: int) -> Lock:
        """Extend the owner's lease."""
        current = self._owned(lock)
        self.locks[lock.run_id] = current.model_copy(update={"lease_until": now + timedelta(seconds=lease_seconds)})
        # The doorbell keeps the value that the owner read last: a renewal must not hide a later event.
        return self.locks[lock.run_id].model_copy(update={"doorbell": lock.doorbell, "rung": lock.rung})

    def release(self, lock: Lock) -> Lock | None:
        """Release the lock unless an event came after ``lock`` was read."""
        current = self._owned(lock)
        if current.doorbell != lock.doorbell:
            return current
        released: dict[str, object] = {
            "owner": None,
            "lease_until": None,
            "answered": lock.doorbell,
            "changed_rows": lock.changed_rows,
            "changed_values": lock.changed_values,
            "rung": frozenset(),
            "reported_at": lock.reported_at,
            "comment_behind": lock.comment_behind,
            "announced": lock.announced,
            "announce_at": lock.announce_at,
            "finished": lock.finished,
        }
        self.locks[lock.run_id] = current.model_copy(update=released)
        return None

    def complete(self, lock: Lock) -> None:
        """Mark the run as completed; it is never taken again."""
        current = self._owned(lock)
        self.locks[lock.run_id] = current.model_copy(update={"owner": None, "lease_until": None, "completed": True})

    def read(self, run_id: str) -> Lock | None:
        """Return a run's lock, None if there is none."""
        return self.locks.get(run_id)

    def _owned(self, lock: Lock) -> Lock:
        current = self.locks.get(lock.run_id)
        if current is None or current.completed or current.owner != lock.owner or current.token != lock.token:
            raise ConditionFailed("the lock has another owner", run_id=lock.run_id)
        return current
