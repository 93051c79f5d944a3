"""Writes numbers as people read them."""

from __future__ import annotations


def duration(seconds: int) -> str:
    """Return seconds as people write them: ``300 s (5 min)``, ``28 h``, ``14 days``."""
    if seconds >= 2 * 86400 and seconds % 86400 == 0:
        return f"{seconds // 86400} days"
    if seconds >= 3600 and seconds % 3600 == 0:
        return f"{seconds // 3600} h"
    return f"{seconds} s" if seconds % 60 or seconds < 120 else f"{seconds} s ({seconds // 60} min)"


def days(number: int | None) -> str:
    """Return a number of days, or that there is no limit."""
    return "permanent" if number is None else f"{number} day{'' if number == 1 else 's'}"


def megabytes(number: int) -> str:
    """Return a size with thousands separated."""
    return f"{number:,} MB"
