"""Waits until a code host knows what it has announced: its API answers later than its webhooks."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final, TypeVar

from iac_ci_vcs import http_session

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LAG_SECONDS: Final = 60.0
"""Longest time that is waited for an API that is behind its webhooks: usually it is seconds (palantir/policy-bot#47,
runatlantis/atlantis#3210)."""

_WAITS: Final = (1.0, 2.0, 3.0, 6.0, 12.0, 36.0)


def settled(
    read: Callable[[], T],
    is_settled: Callable[[T], bool],
    *,
    seconds: float = LAG_SECONDS,
    wait: Callable[[float], None] | None = None,
) -> T:
    """Read until the value is settled, for about ``seconds`` with growing pauses, and return the last value.

    ``wait`` replaces the pause.
    """
    for pause, total in zip(_WAITS, accumulate(_WAITS), strict=True):
        value = read()
        if total > seconds or is_settled(value):
            return value
        (wait or http_session.pause)(pause)
    return read()


__all__ = ["LAG_SECONDS", "settled"]
