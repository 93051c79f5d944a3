"""Deliveries in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.errors import ConditionFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iac_ci_common.models.lock import Delivery


class MemoryDeliveries:
    """Requests that were received before, as a dictionary of frozen models."""

    def __init__(self) -> None:
        """Start empty."""
        self.deliveries: dict[str, Delivery] = {}

    def remember(self, deliveries: Sequence[Delivery], *, now: datetime) -> Delivery | None:
        """Remember all deliveries, or none and return the first that is alive."""
        for delivery in deliveries:
            seen = self.deliveries.get(delivery.key)
            if seen is not None and seen.expires_at > now:
                return seen
        for delivery in deliveries:
            self.deliveries[delivery.key] = delivery
        return None

    def answer(self, key: str, answer: str) -> None:
        """Keep the answer that a remembered delivery got."""
        if key not in self.deliveries:
            raise ConditionFailed(f"{key} was not remembered")
        self.deliveries[key] = self.deliveries[key].model_copy(update={"answer": answer})
