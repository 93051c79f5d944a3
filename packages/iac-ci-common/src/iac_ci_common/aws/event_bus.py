"""The stack's bus of Amazon EventBridge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.aws.errors import aws_errors, retry_is_safe
from iac_ci_common.errors import PortFailed
from iac_ci_common.models.announcement import SOURCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_common.models.announcement import Announcement

_MAX_ENTRIES: Final = 10
"""Most entries of one call (Amazon EventBridge API Reference, "PutEvents")."""


class EventBridgeBus:
    """Puts announcements on one bus."""

    def __init__(self, client: Any, name: str) -> None:
        """Use an EventBridge client and the bus's name; without a name nothing is put."""
        self._client = client
        self._name = name

    def put(self, announcements: Sequence[Announcement]) -> None:
        """Put announcements, ten in a call; raise ``PortFailed`` if one was not accepted.

        The call itself succeeds also if EventBridge refuses entries; its answer counts them.
        """
        if not self._name:
            # The environment of a version before names no bus.
            return
        for start in range(0, len(announcements), _MAX_ENTRIES):
            part = announcements[start : start + _MAX_ENTRIES]
            with aws_errors(f"putting events on {self._name}"):
                answer = self._client.put_events(Entries=[self._entry(one) for one in part])
            if answer["FailedEntryCount"]:
                self._raise(answer["Entries"])

    def _entry(self, announcement: Announcement) -> dict[str, Any]:
        return {
            "EventBusName": self._name,
            "Source": SOURCE,
            "DetailType": announcement.kind.value,
            "Time": announcement.at,
            "Detail": announcement.model_dump_json(exclude_none=True),
        }

    def _raise(self, entries: Sequence[dict[str, Any]]) -> None:
        refused = [entry for entry in entries if "ErrorCode" in entry]
        codes = sorted({str(entry["ErrorCode"]) for entry in refused})
        messages = sorted({str(entry.get("ErrorMessage", "")) for entry in refused})
        raise PortFailed(
            f"{self._name} refused {len(refused)} of {len(entries)} events: {', '.join(codes)}: {'; '.join(messages)}",
            retry_is_safe=all(map(retry_is_safe, codes)),
        )
