"""Decides who may use a server of the local cloud: only callers with its token, and only by its own address. Asks it.

Every user of the machine can connect to a loopback port, and so can a web page in the owner's browser. A web page of
another site reaches the port by DNS rebinding, with its own name in the header Host.
"""

from __future__ import annotations

import hmac
import urllib.request
from typing import Final

open_loopback: Final = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
"""``urllib.request.urlopen`` for a server of this machine: no proxy of the environment stands between."""


def is_own_host(host: str, port: int) -> bool:
    """Return whether a Host header names the loopback address or ``localhost`` with the server's port."""
    return host.lower() in {f"127.0.0.1:{port}", f"localhost:{port}"}


def is_token(given: str, expected: str) -> bool:
    """Return whether a caller has the server's token, in constant time; an empty ``expected`` never matches."""
    return bool(expected) and hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


__all__ = ["is_own_host", "is_token", "open_loopback"]
