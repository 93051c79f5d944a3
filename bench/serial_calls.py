"""Counts in a trace the calls that came one after another. Pure."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def serial_calls(trace: Sequence[dict[str, Any]], callers: Collection[str]) -> int:
    """Return the number of calls on the way to the last one: before each, the call that ended last before it began.

    Calls that another one overlaps were made side by side and count once. A call of a function that is not waited for,
    such as the release of a lock while a worker starts, can take the place of one that is, and then counts with it: the
    number is an upper bound.
    """
    calls = sorted((call["ended"], call["began"]) for call in trace if call["caller"] in callers)
    ends = [ended for ended, _ in calls]
    number, index = 0, len(calls) - 1
    while index >= 0:
        number += 1
        index = bisect_right(ends, calls[index][1], hi=index) - 1
    return number
