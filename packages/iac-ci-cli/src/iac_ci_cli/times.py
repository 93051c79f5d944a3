"""Times as people read and write them: always with their offset from UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_AGO: Final = re.compile(r"([0-9]{1,5})([mhdw])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def shown_time(at: datetime) -> str:
    """Return a time in the zone of this machine, with its offset: ``2026-01-31 23:59:59+01:00``."""
    return at.astimezone().isoformat(sep=" ", timespec="seconds")


def parse_since(text: str, now: datetime) -> datetime:
    """Return the time of ``2d``, ``12h``, ``2026-01-31`` or an ISO 8601 time; without an offset it is local time.

    Raises ``ValueError``, for a time in the future too.
    """
    if ago := _AGO.fullmatch(text.strip()):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        since = datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text[:60]!r} is not a time (examples: 12h, 7d, 2026-01-31, 2026-01-31T08:00+01:00)"
        ) from None
    if since > now:
        raise ValueError(f"{text[:60]!r} is in the future")
    return since


def span(length: timedelta) -> str:
    """Return a length of time in its two largest units."""
    seconds = max(0, int(length.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
