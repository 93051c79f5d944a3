"""The system clock."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """The system's time."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)
