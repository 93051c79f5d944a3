"""The secrets that requests prove themselves with, read at most every five minutes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import NotFound
from iac_ci_common.locations import parse_location

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from iac_ci_common.ports import Secrets

_SECONDS: Final = 300


class SharedSecrets:
    """Remembers what was read; a process lives for hours and a request is answered in milliseconds."""

    def __init__(self, secrets: Secrets) -> None:
        """Read from ``secrets``."""
        self._secrets = secrets
        self._read: dict[str, tuple[datetime, str]] = {}

    def values(self, locations: Iterable[str], now: datetime) -> list[str]:
        """Return the secrets that are set; a missing one is no secret, and counts as soon as it is set."""
        found: list[str] = []
        for location in locations:
            with contextlib.suppress(NotFound):
                found.append(self.value(location, now))
        return found

    def value(self, location: str, now: datetime) -> str:
        """Return one secret; raise ``NotFound`` where none is set."""
        known = self._read.get(location)
        if known is None or (now - known[0]).total_seconds() > _SECONDS:
            known = (now, self._secrets.read(parse_location(location)))
            self._read[location] = known
        return known[1]
