"""The last writes of a pass, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_common.models.lock import Lock
    from iac_ci_common.ports import Transition
    from iac_ci_common.testing.locks import MemoryLocks
    from iac_ci_common.testing.runs import MemoryRuns


class MemoryLastWrites:
    """Writes rows and locks together."""

    def __init__(self, runs: MemoryRuns, locks: MemoryLocks) -> None:
        """Use these tables."""
        self._runs = runs
        self._locks = locks

    def write(self, transitions: Sequence[Transition], lock: Lock, *, unless_cancelled: bool = False) -> bool:
        """Apply all transitions and release the lock; return False, and write nothing, if a condition fails."""
        current = self._locks.read(lock.run_id)
        if current is None or current.completed:
            return False
        if (current.owner, current.token, current.doorbell) != (lock.owner, lock.token, lock.doorbell):
            return False
        if self._runs.apply(transitions, whole=True, unless_cancelled=unless_cancelled):
            return False
        self._locks.release(lock)
        return True
