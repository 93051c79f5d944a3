"""The event of the stack's rule that comes every 15 minutes and keeps each function active."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def is_tick(event: Mapping[str, Any]) -> bool:
    """Return whether an event is one of a schedule (Amazon EventBridge User Guide, "Scheduled events").

    API Gateway's events and those of the engine have no such fields at their top level.
    """
    return event.get("source") == "aws.events" and event.get("detail-type") == "Scheduled Event"


def rule_of(event: Mapping[str, Any]) -> str | None:
    """Return the ARN of the rule that sent a tick; None if the event names none, or several."""
    resources = event.get("resources")
    if isinstance(resources, list) and len(resources) == 1 and isinstance(resources[0], str):
        return resources[0]
    return None
