"""Tickets: random texts that a worker trades for rights. Only their digests are stored."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

_BYTES: Final = 32


def new_ticket() -> str:
    """Return a new ticket: 32 random bytes in hexadecimal."""
    return secrets.token_hex(_BYTES)


def digest(ticket: str) -> str:
    """Return a ticket's SHA-256 in hexadecimal."""
    return hashlib.sha256(ticket.encode()).hexdigest()
