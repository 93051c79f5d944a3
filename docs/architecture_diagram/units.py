"""Writes numbers as people read them."""

from __future__ import annotations

from typing import Any


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


def lifecycle(rules: list[dict[str, Any]]) -> str:
    """Return how long objects live: the shortest life, and by their names those that live longer."""
    if not rules:
        return "permanent"
    shortest = min(rule["days"] for rule in rules)
    longer: dict[int, list[str]] = {}
    for rule in rules:
        if rule["days"] > shortest:
            longer.setdefault(rule["days"], []).append(rule["id"])
    more = "".join(f"; {' and '.join(names)} after {days(number)}" for number, names in sorted(longer.items()))
    return f"objects expire after {days(shortest)}{more}"


def shortest_life(rules: list[dict[str, Any]]) -> str:
    """Return the shortest life of a bucket's objects."""
    return days(min((rule["days"] for rule in rules), default=None))


def megabytes(number: int) -> str:
    """Return a size with thousands separated."""
    return f"{number:,} MB"
