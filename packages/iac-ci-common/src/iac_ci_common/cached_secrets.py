"""The shared secrets that authenticate requests, read at most every five minutes, also if requests are not signed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import IacCiError, NotFound
from iac_ci_common.locations import parse_location

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from iac_ci_common.ports import Secrets

_SECONDS: Final = 300

_MISSING_SECONDS: Final = 60
"""How long a missing secret counts as missing without another call."""

_FAILED_SECONDS: Final = 5
"""How long a failed call is not repeated, so that a flood of requests does not keep a throttled service throttled."""


class SharedSecrets:
    """Caches secrets, because a process lives for hours and must answer each request in milliseconds."""

    def __init__(self, secrets: Secrets) -> None:
        """Read from ``secrets``."""
        self._secrets = secrets
        self._read: dict[str, tuple[datetime, str | IacCiError]] = {}

    def values(self, locations: Iterable[str], now: datetime) -> list[str]:
        """Return the secrets that exist. A missing one is skipped, and used within a minute after it is set."""
        found: list[str] = []
        for location in locations:
            with contextlib.suppress(NotFound):
                found.append(self.value(location, now))
        return found

    def value(self, location: str, now: datetime) -> str:
        """Return one secret. Raise ``NotFound`` if it is not set, and the error of a failed call."""
        cached = self._read.get(location)
        if cached is None or (now - cached[0]).total_seconds() > _life(cached[1]):
            cached = (now, self._call(location))
            self._read[location] = cached
        if isinstance(cached[1], IacCiError):
            raise cached[1]
        return cached[1]

    def _call(self, location: str) -> str | IacCiError:
        try:
            return self._secrets.read(parse_location(location))
        except IacCiError as error:
            return error


def _life(answer: str | IacCiError) -> int:
    if isinstance(answer, NotFound):
        return _MISSING_SECONDS
    return _FAILED_SECONDS if isinstance(answer, IacCiError) else _SECONDS
