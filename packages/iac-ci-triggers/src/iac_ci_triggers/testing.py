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
        """Start empty; the clock tells what has expired."""
        self.ledgers: dict[str, Ledger] = {}
        self._clock = clock

    def read(self, key: str) -> Ledger | None:
        """Read a ledger that has not expired."""
        ledger = self.ledgers.get(key)
        return ledger if ledger is not None and ledger.expires_at > self._clock.now() else None

    def write(self, ledger: Ledger) -> Ledger:
        """Write the successor of what was read."""
        current = self.read(ledger.key)
        if (current.version if current is not None else 0) != ledger.version:
            raise ConditionFailed("somebody else wrote what was started in between", retry_is_safe=True)
        written = ledger.model_copy(update={"version": ledger.version + 1})
        self.ledgers[ledger.key] = written
        return written
