"""The store of ledgers, as a Protocol.

Adapters are ``dynamo_ledgers.DynamoLedgers`` and, in memory, ``testing.MemoryLedgers``; one contract test suite checks
both against these docstrings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from iac_ci_triggers.ledger import Ledger


class Ledgers(Protocol):
    """Ledgers of pull requests and branches, in the table locks."""

    def read(self, key: str) -> Ledger | None:
        """Return a ledger by a consistent read, None if there is none or it has expired."""
        ...

    def write(self, ledger: Ledger) -> Ledger:
        """Write the next version of the ledger that was read (``version`` is the one that was read) and return it.

        Raises ``ConditionFailed`` if another event has written it since; read it again and repeat.
        """
        ...


__all__ = ["Ledgers"]
