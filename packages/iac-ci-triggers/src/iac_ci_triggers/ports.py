"""What triggers store, as a Protocol.

The adapter is ``dynamo_ledgers.DynamoLedgers``, the one in memory ``testing.MemoryLedgers``; one contract suite holds
both to what is written here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from iac_ci_triggers.ledger import Ledger


class Ledgers(Protocol):
    """What was started for pull requests and branches, in the table locks."""

    def read(self, key: str) -> Ledger | None:
        """Read a ledger, consistently; an expired one is gone."""
        ...

    def write(self, ledger: Ledger) -> Ledger:
        """Write the successor of the ledger that was read (``version`` is still the one read) and return it.

        Raises ``ConditionFailed``, safe to try again from reading, where somebody else wrote in between.
        """
        ...


__all__ = ["Ledgers"]
