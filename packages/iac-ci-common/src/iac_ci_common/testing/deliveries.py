"""Deliveries in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.errors import ConditionFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iac_ci_common.models.lock import Delivery


class MemoryDeliveries:
    """Received deliveries as a dictionary of frozen models."""

    def __init__(self) -> None:
        """Start empty."""
        self.deliveries: dict[str, Delivery] = {}

    def remember(self, deliveries: Sequence[Delivery], *, now: datetime) -> Delivery | None:
        """Remember all deliveries; or none, and return the first that is remembered already."""
        for delivery in deliveries:
            seen = self.deliveries.get(delivery.key)
            if seen is not None and seen.expires_at > now:
                return seen
        for delivery in deliveries:
            self.deliveries[delivery.key] = delivery
        return None

    def answer(self, key: str, answer: str) -> None:
        """Save the answer to a remembered delivery."""
        if key not in self.deliveries:
            raise ConditionFailed(f"{key} is not remembered")
        self.deliveries[key] = self.deliveries[key].model_copy(update={"answer": answer})
