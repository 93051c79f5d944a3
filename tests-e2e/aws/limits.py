"""AWS's numbers in ``limits.toml``, and what is measured against them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_UNITS: Final = frozenset({"characters", "bytes", "count", "seconds"})


@dataclass(frozen=True, slots=True)
class Limit:
    """One number, what it limits, and where it was read."""

    thing: str
    number: int
    unit: str
    source: str
    read: Any

    def size(self, value: str | int) -> int:
        """Return a value in this limit's unit: a number as it is, a text by its characters or bytes."""
        if isinstance(value, int):
            return value
        return len(value.encode()) if self.unit == "bytes" else len(value)


@dataclass(frozen=True, slots=True, order=True)
class Measure:
    """The largest legal input, or the largest thing that it makes, in the unit of its limit."""

    limit: str
    what: str
    size: int

    @property
    def number(self) -> int:
        """Return AWS's number."""
        return LIMITS[self.limit].number

    @property
    def fits(self) -> bool:
        """Return whether AWS takes it."""
        return self.size <= self.number


def measure(limit: str, what: str, *values: str | int) -> Measure:
    """Return the size of the largest of the values."""
    return Measure(limit, what, max(LIMITS[limit].size(value) for value in values))


def _read() -> dict[str, Limit]:
    stored = tomllib.loads(Path(__file__).with_name("limits.toml").read_text("utf-8"))
    limits = {name: Limit(**fields) for name, fields in stored.items()}
    unknown = {name: limit.unit for name, limit in limits.items() if limit.unit not in _UNITS}
    if unknown:
        raise ValueError(f"limits.toml has unknown units: {unknown}")
    return limits


LIMITS: Final = _read()
