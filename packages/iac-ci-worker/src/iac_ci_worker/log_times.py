"""When the bytes of a log were written: a few places of the file, each with its time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from iac_ci_common.limits import MAX_LOG_TIMES

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST_GAP_MS: Final = 1000


class LogTimes:
    """Places of a log with the times at which it was written from there on, a second apart at least.

    The log itself has no times: a time stamp inside a secret of several lines would hide it from masking. A log that is
    written for longer has fewer of them: once there are ``MAX_LOG_TIMES``, every second one goes, and the distance
    between new ones doubles.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Read ``clock``, which returns seconds since 1970."""
        self._clock = clock
        self._gap = _FIRST_GAP_MS
        self._noted: list[tuple[int, int]] = []
        self._ended = False

    def note(self, offset: int) -> None:
        """Note that what is written now begins at this byte of the log, counted from 0."""
        now = int(self._clock() * 1000)
        if self._ended or (self._noted and now < self._noted[-1][1] + self._gap):
            return
        if len(self._noted) >= MAX_LOG_TIMES:
            self._noted = self._noted[::2]
            self._gap *= 2
            self.note(offset)
            return
        self._noted.append((offset, now))

    def end(self, offset: int) -> None:
        """Note that nothing is known from this byte on, because a part of the log is left out there."""
        if not self._ended:
            self._ended = True
            self._noted = [*(noted for noted in self._noted if noted[0] < offset), (offset, 0)]

    def all(self) -> tuple[tuple[int, int], ...]:
        """Return the offsets and times in milliseconds since 1970, sorted; the time 0 says that it is not known."""
        return tuple(self._noted)
