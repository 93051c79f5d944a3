"""Ledgers in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.errors import ConditionFailed

if TYPE_CHECKING:
    from iac_ci_common.ports import Clock
    from iac_ci_triggers.ledger import Ledger


class MemoryLedgers:
    """A dictionary of frozen ledgers."""

    def __init__(self, clock: Clock) -> None:
        """Start empty; ``clock`` decides which ledgers have expired."""
        self.ledgers: dict[str, Ledger] = {}
        self._clock = clock

    def read(self, key: str) -> Ledger | None:
        """Return a ledger, None if there is none or it has expired."""
        ledger = self.ledgers.get(key)
        return ledger if ledger is not None and ledger.expires_at > self._clock.now() else None

    def write(self, ledger: Ledger) -> Ledger:
        """Write the next version of a ledger."""
        current = self.read(ledger.key)
        if (current.version if current is not None else 0) != ledger.version:
            raise ConditionFailed("another event changed the ledger", retry_is_safe=True)
        written = ledger.model_copy(update={"version": ledger.version + 1})
        self.ledgers[ledger.key] = written
        return written
