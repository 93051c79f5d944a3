"""What a configuration does not say about the states of its plans, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iac_ci_triggers.configuration import unnamed_states

if TYPE_CHECKING:
    from iac_ci_triggers.configuration import Configuration

_SHOWN: Final = 5


def state_words(configuration: Configuration) -> list[str]:
    """Return a line for each folder whose plans may be of one state, which the engine cannot know."""
    lines = []
    for folder, orders in unnamed_states(configuration):
        more = f" and {len(orders) - _SHOWN} more" if len(orders) > _SHOWN else ""
        lines.append(
            f"whether {', '.join(orders[:_SHOWN])}{more} plan one state in the folder {folder}: without `workspace`"
            " each counts as the plan of another state, so that applies may run at once and make no other plan stale"
        )
    return lines


__all__ = ["state_words"]
