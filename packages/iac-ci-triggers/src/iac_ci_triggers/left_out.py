"""Words for planned minutes of a schedule that started nothing: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_triggers.configuration import shown_minute

if TYPE_CHECKING:
    from iac_ci_triggers.ledger import LeftOutMinutes


def shown_left_out(left: LeftOutMinutes, timezone: str) -> str:
    """Return the minutes on the wall clock of the schedule, with the reason."""
    first, last = (shown_minute(minute, timezone) for minute in (left.first, left.last))
    if left.count == 1:
        return f"{left.job} was not started for {last}: {left.reason}"
    return f"{left.job} was not started for {left.count} planned minutes from {first} to {last}: {left.reason}"


__all__ = ["shown_left_out"]
