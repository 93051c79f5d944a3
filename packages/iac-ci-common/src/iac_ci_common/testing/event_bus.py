"""The stack's event bus in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_common.models.announcement import Announcement


class MemoryEventBus:
    """Records what was put on the bus."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.announcements: list[Announcement] = []

    def put(self, announcements: Sequence[Announcement]) -> None:
        """Record them."""
        self.announcements += announcements
