"""Downloads over HTTP, repeated after failures that may pass."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from iac_ci_common.errors import NotFound, PortFailed, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable

_STEP_SECONDS: Final = 20
_PAUSES: Final = (0.5, 2.0)
_BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_MISSING: Final = frozenset({403, 404, 410})
"""Buckets without the right to list answer 403 for what they do not have."""


class Downloads(Protocol):
    """Reads addresses."""

    def read(self, address: str, *, most: int) -> bytes:
        """Return what an address has, at most ``most`` bytes.

        Raises ``NotFound``, ``Throttled`` (a retry may help) or ``PortFailed``.
        """


class HttpDownloads:
    """Reads addresses over HTTP."""

    def __init__(self, *, again: bool = True, wait: Callable[[float], None] = time.sleep) -> None:
        """Wait between attempts with ``wait``.

        With ``again`` False what cannot be reached now is a permanent failure: on a person's own machine, which has
        the network that it has, nobody waits for another attempt.
        """
        self._again = again
        self._wait = wait

    def read(self, address: str, *, most: int) -> bytes:
        """Return what an address has; try three times if the network or the server fails."""
        for pause in _PAUSES:
            try:
                return _read(address, most)
            except Throttled:
                self._wait(pause)
        try:
            return _read(address, most)
        except Throttled as error:
            if self._again:
                raise
            raise PortFailed(f"{error.message}; name a mirror with --tool-sources, or remove the version") from error


def _read(address: str, most: int) -> bytes:
    # Only jobs with tools download anything.
    import requests

    shown = address.partition("?")[0]
    try:
        with requests.get(address, timeout=_STEP_SECONDS, stream=True) as answer:
            if answer.status_code in _MISSING:
                raise NotFound(f"{shown} does not exist ({answer.status_code})")
            if answer.status_code in _BUSY:
                raise Throttled(f"{shown} answered {answer.status_code}")
            if answer.status_code != requests.codes.ok:
                raise PortFailed(f"{shown} answered {answer.status_code}")
            content = bytearray()
            for part in answer.iter_content(1024 * 1024):
                content += part
                if len(content) > most:
                    raise PortFailed(f"{shown} has more than {most} bytes")
            return bytes(content)
    except requests.RequestException as error:
        raise Throttled(f"{shown} cannot be reached ({type(error).__name__})") from error
