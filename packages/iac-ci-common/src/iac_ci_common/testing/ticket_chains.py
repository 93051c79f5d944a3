"""Chains of tickets in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common import keys

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.trade import TicketChain


class MemoryTicketChains:
    """Chains as a dictionary of frozen models."""

    def __init__(self) -> None:
        """Start empty."""
        self.chains: dict[str, TicketChain] = {}

    def read(self, run_id: str, order_num: str, dispatch: str) -> TicketChain | None:
        """Return a dispatch's chain, None if no ticket of it was traded."""
        return self.chains.get(keys.ticket_chain(run_id, order_num, dispatch))

    def move(self, chain: TicketChain, *, expected: str | None) -> bool:
        """Write the chain if its present ticket is still ``expected``."""
        key = keys.ticket_chain(chain.run_id, chain.order_num, chain.dispatch)
        stored = self.chains.get(key)
        if (stored.present if stored is not None else None) != expected:
            return False
        misused_at = stored.misused_at if stored is not None else None
        self.chains[key] = chain.model_copy(update={"misused_at": misused_at})
        return True

    def note_misuse(self, chain: TicketChain, *, now: datetime) -> bool:
        """Set the time of the first misuse; make the chain if it is missing."""
        key = keys.ticket_chain(chain.run_id, chain.order_num, chain.dispatch)
        stored = self.chains.get(key, chain)
        if stored.misused_at is not None:
            return False
        self.chains[key] = stored.model_copy(update={"misused_at": now})
        return True
