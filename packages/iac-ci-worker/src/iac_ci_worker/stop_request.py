"""The wish to stop an order's commands."""

from __future__ import annotations


class StopRequest:
    """A wish to stop, which another thread or a signal may make while the commands run. The first reason counts."""

    def __init__(self) -> None:
        """Start without a wish."""
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

    def ask(self, reason: str) -> None:
        """Ask the commands to stop."""
        self._reason = self._reason or reason

    def hasten(self, reason: str) -> None:
        """Ask the commands to stop; if they are stopping already, shorten the wait. No second signal is sent."""
        self._hastened = self._hastened or self.stopping or self._reason is not None
        self.ask(reason)
