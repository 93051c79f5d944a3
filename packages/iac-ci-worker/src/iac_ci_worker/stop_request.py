"""The wish to stop an order's commands."""

from __future__ import annotations


class StopRequest:
    """A wish to stop, which another thread may make while the commands run. The first one counts."""

    def __init__(self) -> None:
        """Start without a wish."""
        self._reason: str | None = None

    @property
    def reason(self) -> str | None:
        """Return why the commands should stop, None if they should go on."""
        return self._reason

    def ask(self, reason: str) -> None:
        """Ask the commands to stop."""
        self._reason = self._reason or reason
