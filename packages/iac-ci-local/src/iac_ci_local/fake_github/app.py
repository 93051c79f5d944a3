"""A GitHub app that is installed on the project: its key proves it, and mints tokens of an hour.

Sources: GitHub Docs, "Generating a JSON Web Token (JWT) for a GitHub App", "Generating an installation access token".
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LIFETIME: Final = timedelta(hours=1)
_LONGEST_PROOF: Final = timedelta(minutes=10)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class InstalledApp:
    """One app with one installation. Safe for several threads at once."""

    id: int
    slug: str
    public_key: str = field(repr=False)
    """In PEM; the private key is the engine's."""

    installation_id: int = 77
    now: Callable[[], datetime] = _now
    _minted: dict[str, datetime] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def proves(self, assertion: str) -> bool:
        """Return whether a JWT was signed with the app's key, names it, and lives for ten minutes at most."""
        import jwt

        try:
            claims = jwt.decode(
                assertion, self.public_key, algorithms=["RS256"], options={"require": ["iat", "exp", "iss"]}
            )
        except jwt.PyJWTError:
            return False
        lasts = datetime.fromtimestamp(claims["exp"], UTC) - self.now()
        return str(claims["iss"]) == str(self.id) and lasts <= _LONGEST_PROOF

    def mint(self) -> tuple[str, datetime]:
        """Return a new token and the moment at which it ends."""
        token = f"ghs_{secrets.token_hex(18)}"
        ends = (self.now() + _LIFETIME).replace(microsecond=0)
        with self._lock:
            self._minted[token] = ends
        return token, ends

    def knows(self, token: str) -> bool:
        """Return whether a token was minted and still lives."""
        with self._lock:
            return self._minted.get(token, datetime.min.replace(tzinfo=UTC)) > self.now()

    def revoke(self) -> None:
        """Take all tokens back before their time."""
        with self._lock:
            self._minted.clear()


__all__ = ["InstalledApp"]
