"""One finding about a run, and the sentences that several findings share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from iac_ci_common.command_lines import command_line

PATIENCE: Final = timedelta(seconds=90)
"""How late a step that should follow at once may be before it counts as wrong: the watchdog checks every minute."""

MENDS_ITSELF: Final = "The run's watchdog wakes it within a minute or two."


def wake_it(run_id: str, options: str) -> str:
    """Return the next step that wakes a run now. ``options`` name its stack, with a space in front."""
    return f"Wake it now with `{command_line('nudge', run_id, options=options)}`."


class Level(StrEnum):
    """Whether a person should act."""

    INFO = "info"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding in one sentence, and the next step where there is one. ``kind`` is for programs and does not change."""

    kind: str
    level: Level
    what: str
    next_step: str | None = None
    order_name: str | None = None
