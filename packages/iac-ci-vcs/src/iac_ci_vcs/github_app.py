"""The token of a GitHub app: minted when needed, minted anew before it expires."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.errors import PortFailed
from iac_ci_vcs.http_session import BearerAuth, HostSession, json_of

if TYPE_CHECKING:
    from iac_ci_vcs.provider import AppCredentials

_SPARE: Final = timedelta(minutes=5)
"""A token is not used in its last minutes: git may take that long."""

_JWT_SECONDS: Final = 540
"""GitHub takes ten minutes at most (GitHub Apps, "Generating a JSON Web Token (JWT) for a GitHub App")."""

_CLOCK_DRIFT_SECONDS: Final = 60


class InstallationTokens:
    """Gives a token of the app's installation, for one repository only."""

    def __init__(self, credentials: AppCredentials, *, host: str, root: str, repository: str, seconds: float) -> None:
        """Keep what minting takes; nothing is asked yet. ``repository`` is ``owner/name``."""
        self._credentials = credentials
        self._root = root
        self._repository = repository
        self._wire = HostSession(host, BearerAuth(self._assertion), seconds=seconds)
        self._token = ""
        self._expires_at = datetime.min.replace(tzinfo=UTC)
        self._installation = credentials.installation_id

    def token(self) -> str:
        """Return a token that lives for some minutes yet."""
        if datetime.now(UTC) + _SPARE >= self._expires_at:
            self._mint()
        return self._token

    def forget(self) -> None:
        """Mint at the next need: the host has refused the token."""
        self._expires_at = datetime.min.replace(tzinfo=UTC)

    def slug(self) -> str:
        """Return the app's name in addresses; its account is ``<slug>[bot]``."""
        what = "GitHub app"
        with self._wire.doing(what):
            return str(json_of(self._wire.ask("GET", f"{self._root}/app", what))["slug"])

    def close(self) -> None:
        """Let the connections go."""
        self._wire.close()

    def _mint(self) -> None:
        what = "installation of the GitHub app"
        with self._wire.doing(what):
            if self._installation is None:
                found = self._wire.ask("GET", f"{self._root}/repos/{self._repository}/installation", what)
                self._installation = str(json_of(found)["id"])
            answer: dict[str, Any] = json_of(
                self._wire.ask(
                    "POST",
                    f"{self._root}/app/installations/{self._installation}/access_tokens",
                    what,
                    json={"repositories": [self._repository.rpartition("/")[2]]},
                )
            )
        self._token = str(answer["token"])
        self._expires_at = datetime.fromisoformat(answer["expires_at"])

    def _assertion(self) -> str:
        import jwt

        now = int(time.time())
        claims = {
            "iat": now - _CLOCK_DRIFT_SECONDS,
            "exp": now + _JWT_SECONDS,
            "iss": self._credentials.app_id,
        }
        try:
            return jwt.encode(claims, self._credentials.private_key, algorithm="RS256")
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            # Without the cause: its text may repeat the key.
            raise PortFailed(f"the GitHub app's private key is of no use: {type(error).__name__}") from None
