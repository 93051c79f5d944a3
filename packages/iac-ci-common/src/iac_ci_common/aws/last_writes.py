"""The last writes of a pass: rows and events, and the lock that they release, in one transaction."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from iac_ci_common.aws import transactions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_common.aws.locks import DynamoLocks
    from iac_ci_common.aws.runs import DynamoRuns
    from iac_ci_common.models.lock import Lock
    from iac_ci_common.ports import Transition


class DynamoLastWrites:
    """The last writes of passes."""

    def __init__(self, client: Any, runs: DynamoRuns, locks: DynamoLocks) -> None:
        """Use a DynamoDB client; ``runs`` and ``locks`` know the tables."""
        self._client = client
        self._runs = runs
        self._locks = locks

    def write(self, transitions: Sequence[Transition], lock: Lock, *, unless_cancelled: bool = False) -> bool:
        """Apply all transitions and release the lock; return False, and write nothing, if a condition fails."""
        writes = [*chain.from_iterable(self._runs.writes(transitions)), self._locks.release_write(lock)]
        condition = self._runs.not_cancelled(lock.run_id) if unless_cancelled else None
        return not transactions.write(self._client, [writes], condition=condition, whole=True)
