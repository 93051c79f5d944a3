"""Puts times before the lines of logs."""

from __future__ import annotations

import re
from bisect import bisect_right
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_LINE: Final = re.compile(rb"[^\n]*\n|[^\n]+")
_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
UNKNOWN: Final = " " * len("2026-01-01T00:00:00Z")
"""What stands before a line whose time is not known."""


def stamped(log: bytes, times: Sequence[tuple[int, int]]) -> str:
    """Return a log with the time before each line at which the worker wrote it.

    ``times`` are offsets in the log, in bytes, with the milliseconds since 1970 from which it was written there; 0
    means that the time is not known.
    """
    offsets = [offset for offset, _ in times]
    at, lines = 0, []
    for line in _LINE.findall(log):
        found = bisect_right(offsets, at)
        lines.append(f"{stamp(times[found - 1][1] if found else 0)} {line.decode('utf-8', 'replace')}")
        at += len(line)
    return "".join(lines)


def stamp(milliseconds: int) -> str:
    """Return a time as ``2026-01-01T00:00:00Z``, or as many spaces for 0."""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):{_FORMAT}}" if milliseconds else UNKNOWN
