"""The index of runs, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.ids import JOB_EVENT_NAME

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.event import Event
    from iac_ci_common.ports import Clock
    from iac_ci_common.testing.runs import MemoryRuns


class MemoryHistory:
    """Events of whole runs, by time, of the events that ``MemoryRuns`` has."""

    def __init__(self, runs: MemoryRuns, clock: Clock) -> None:
        """Look at these runs."""
        self._runs, self._clock = runs, clock

    def job_events(self, since: datetime, until: datetime) -> list[Event]:
        """Return the events of whole runs from ``since`` to before ``until``, the newest first."""
        first, last = (int(moment.timestamp() * 1000) for moment in (since, until))
        found = [
            event
            for event in self._runs.event_rows.values()
            if event.order_name == JOB_EVENT_NAME
            and first <= event.epoch_ms < last
            and event.expires_at > self._clock.now()
        ]
        return sorted(found, key=lambda event: (event.epoch_ms, event.sort), reverse=True)
