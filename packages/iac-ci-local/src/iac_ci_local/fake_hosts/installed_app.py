"""A GitHub app that is installed on the project; it signs with its key and creates tokens for an hour.

Sources: GitHub Docs, "Generating a JSON Web Token (JWT) for a GitHub App", "Generating an installation access token".
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LIFETIME: Final = timedelta(hours=1)
_MAX_JWT_LIFETIME: Final = timedelta(minutes=10)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class LoggedDelivery:
    """One attempt to deliver a webhook; ``status`` is 0 if there was no answer."""

    id: int
    guid: str
    delivered_at: datetime
    status: int
    headers: Mapping[str, str]
    payload: Mapping[str, Any]


@dataclass
class InstalledApp:
    """One app with one installation. Thread-safe."""

    id: int
    slug: str
    public_key: str = field(repr=False)
    """The public key as PEM; the engine has the private key."""

    installation_id: int = 77
    log: list[LoggedDelivery] = field(default_factory=list)
    """The attempts to deliver the app's webhooks, the oldest first."""

    now: Callable[[], datetime] = _now
    _minted: dict[str, datetime] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def proves(self, assertion: str) -> bool:
        """Return whether a JWT has the app's signature and issuer and expires within ten minutes."""
        import jwt

        try:
            claims = jwt.decode(
                assertion, self.public_key, algorithms=["RS256"], options={"require": ["iat", "exp", "iss"]}
            )
        except jwt.PyJWTError:
            return False
        lifetime = datetime.fromtimestamp(claims["exp"], UTC) - self.now()
        return str(claims["iss"]) == str(self.id) and lifetime <= _MAX_JWT_LIFETIME

    def mint(self) -> tuple[str, datetime]:
        """Return a new token and the moment of its expiry, an hour from now."""
        token = f"ghs_{secrets.token_hex(18)}"
        ends = (self.now() + _LIFETIME).replace(microsecond=0)
        with self._lock:
            self._minted[token] = ends
        return token, ends

    def knows(self, token: str) -> bool:
        """Return whether this app created the token and it has not expired."""
        with self._lock:
            return self._minted.get(token, datetime.min.replace(tzinfo=UTC)) > self.now()

    def revoke(self) -> None:
        """Revoke all tokens."""
        with self._lock:
            self._minted.clear()


__all__ = ["InstalledApp", "LoggedDelivery"]
