"""The shared secrets that authenticate requests, read at most every five minutes."""

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
    """Caches secrets, because a process lives for hours and must answer each request in milliseconds."""

    def __init__(self, secrets: Secrets) -> None:
        """Read from ``secrets``."""
        self._secrets = secrets
        self._read: dict[str, tuple[datetime, str]] = {}

    def values(self, locations: Iterable[str], now: datetime) -> list[str]:
        """Return the secrets that exist. A missing one is skipped and used as soon as it is set."""
        found: list[str] = []
        for location in locations:
            with contextlib.suppress(NotFound):
                found.append(self.value(location, now))
        return found

    def value(self, location: str, now: datetime) -> str:
        """Return one secret. Raise ``NotFound`` if it is not set."""
        cached = self._read.get(location)
        if cached is None or (now - cached[0]).total_seconds() > _SECONDS:
            cached = (now, self._secrets.read(parse_location(location)))
            self._read[location] = cached
        return cached[1]
