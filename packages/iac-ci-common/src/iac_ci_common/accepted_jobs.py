"""Remembers the jobs that a process has stored until it prepares them, so that it does not read them again.

``job.json`` is created once and never changed, so what was created is what a read would return.
"""

from __future__ import annotations

from typing import Final

MOST: Final = 8
"""Most jobs that a process remembers: one that another process prepares is never taken."""


class AcceptedJobs:
    """The bytes of jobs by the ids of their runs."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._bodies: dict[str, bytes] = {}

    def keep(self, run_id: str, body: bytes) -> None:
        """Remember a job that this process has created; the oldest makes room."""
        self._bodies[run_id] = body
        while len(self._bodies) > MOST:
            del self._bodies[next(iter(self._bodies))]

    def take(self, run_id: str) -> bytes | None:
        """Return a job and forget it; None if it is not remembered."""
        return self._bodies.pop(run_id, None)
