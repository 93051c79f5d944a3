"""The wish to stop an order's commands."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_TOGETHER_SECONDS: Final = 1.0
"""Longest time between the signals to two processes of one build that are signalled one after another."""

_FAILED_TOGETHER_SECONDS: Final = 0.5
"""The same where a command failed: it may have handled the signal, and each failure on a build waits as long."""

_TERMINATED_TOGETHER_SECONDS: Final = 10.0
"""The same where a command was ended by SIGTERM, which hardly anything else does; a machine may be slow then."""

_TERMINATED: Final = frozenset({-signal.SIGTERM, 128 + signal.SIGTERM})
"""How a command ends by SIGTERM, as a process and as a shell reports it."""


class StopRequest:
    """A wish to stop, which another thread or a signal may make while the commands run. The first reason counts."""

    def __init__(self, was_sent_to_all: Callable[[float], bool] = lambda _: False) -> None:
        """Start without a wish.

        ``was_sent_to_all`` returns whether every process of the build was signalled together with this one; it waits
        up to as many seconds as it is given.
        """
        self._was_sent_to_all = was_sent_to_all
        self._signalled = False
        self._reason: str | None = None
        self._hastened = False
        self.stopping = False
        """Whether the commands are being stopped, for this wish or at their time-out."""

    @property
    def reason(self) -> str | None:
        """Return why the commands should stop, None if they should go on."""
        return self._reason

    @property
    def hastened(self) -> bool:
        """Return whether the wish was made again, so that the whole grace is not waited for."""
        return self._hastened

    def signal(self, reason: str) -> None:
        """Ask the commands to stop because this process was signalled; the second time shorten the wait."""
        self._signalled = True
        self.hasten(reason)

    def reached_the_commands(self) -> bool:
        """Return whether the commands got the signal that asked for the stop, so that they are not asked again."""
        return self._signalled and self._was_sent_to_all(_TOGETHER_SECONDS)

    def explains(self, exit_code: int, *, succeeded: bool = False) -> bool:
        """Return whether a command ended because every process was signalled; then that is a wish to stop.

        The commands may get their signal before this process gets its own, and end with any code: an interrupted plan
        may end with 0.
        """
        if exit_code in _TERMINATED:
            seconds = _TERMINATED_TOGETHER_SECONDS
        elif self._signalled:
            seconds = _TOGETHER_SECONDS
        else:
            seconds = 0.0 if succeeded else _FAILED_TOGETHER_SECONDS
        if not self._was_sent_to_all(seconds):
            return False
        self._signalled = True
        self.ask("the worker was stopped")
        return True

    def ask(self, reason: str) -> None:
        """Ask the commands to stop."""
        self._reason = self._reason or reason

    def hasten(self, reason: str) -> None:
        """Ask the commands to stop; if they are stopping already, shorten the wait. No second signal is sent."""
        self._hastened = self._hastened or self.stopping or self._reason is not None
        self.ask(reason)
