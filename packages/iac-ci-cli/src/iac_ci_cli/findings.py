"""One thing that was found out about a run, and the words that all findings share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

PATIENCE: Final = timedelta(seconds=90)
"""How long a thing that should happen at once may take before it is called wrong: the watchdog looks every minute."""

NUDGE: Final = "Wake it now with `iac-ci nudge {run}`."

MENDS_ITSELF: Final = "The run's watchdog wakes it within a minute or two."


class Level(StrEnum):
    """Whether somebody should do something."""

    INFO = "info"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, and for trouble what to do next. ``kind`` is for machines and does not change."""

    kind: str
    level: Level
    what: str
    next_step: str | None = None
    order_name: str | None = None


def span(length: timedelta) -> str:
    """Write a length of time as people say it, in its two largest parts."""
    seconds = max(0, int(length.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
