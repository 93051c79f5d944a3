"""Installation tokens of a GitHub app: created when needed, replaced before they expire."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from iac_ci_common.errors import PortFailed
from iac_ci_vcs.http_session import BearerAuth, HostSession, json_of
from iac_ci_vcs.provider import FailedDeliveries, FailedDelivery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_vcs.provider import AppCredentials

_SPARE: Final = timedelta(minutes=5)
"""A token is replaced this long before it expires: one fetch by git may take as long."""

_JWT_SECONDS: Final = 540
"""Lifetime of the JWT. GitHub accepts 600 seconds (GitHub Apps, "Generating a JSON Web Token for a GitHub App")."""

_CLOCK_DRIFT_SECONDS: Final = 60


class InstallationTokens:
    """Creates tokens of the app's installation, each for one repository only."""

    def __init__(
        self,
        credentials: AppCredentials,
        *,
        host: str,
        root: str,
        repository: str,
        seconds: float,
        only_reads: Sequence[str] | None = None,
    ) -> None:
        """Keep the credentials; send no request yet. ``repository`` is ``owner/name``.

        With ``only_reads``, names of repositories of the same owner, tokens read the contents of these and nothing
        else; otherwise they do in ``repository`` what the app may do.
        """
        self._credentials = credentials
        self._root = root
        self._repository = repository
        self._request: dict[str, Any] = {"repositories": [repository.rpartition("/")[2]]}
        if only_reads is not None:
            self._request = {"repositories": list(only_reads), "permissions": {"contents": "read"}}
        self._session = HostSession(host, BearerAuth(self._assertion), root=root, seconds=seconds)
        self._token = ""
        self._expires_at = datetime.min.replace(tzinfo=UTC)
        self._installation = credentials.installation_id

    @property
    def expires_at(self) -> datetime:
        """Return when the token ends that ``token`` returned last."""
        return self._expires_at

    def token(self) -> str:
        """Return a token that lives for at least five more minutes; raise ``PortFailed`` if there is none to be had."""
        if datetime.now(UTC) + _SPARE >= self._expires_at:
            self._mint()
        return self._token

    def forget(self) -> None:
        """Drop the token, because the host refused it; the next use creates another."""
        self._expires_at = datetime.min.replace(tzinfo=UTC)

    def slug(self) -> str:
        """Return the app's name in URLs; its account is ``<slug>[bot]``."""
        subject = "GitHub app"
        with self._session.doing(subject):
            return str(json_of(self._session.ask("GET", f"{self._root}/app", subject))["slug"])

    def failed_deliveries(self, since: datetime, *, pages: int = 1) -> FailedDeliveries:
        """Return the app's webhooks that were not delivered after ``since``, 100 attempts in a page.

        GitHub logs a webhook as failed too if it was answered late, and each attempt has an entry of its own: one that
        succeeded is newer than those that failed, so it is read before them. If a later page cannot be read, those of
        the pages before it are returned.
        """
        subject = "log of webhooks"
        parameters = {"per_page": "100"}
        arrived: set[str] = set()
        failed: dict[str, FailedDelivery] = {}
        requests = 0
        with self._session.doing(subject):
            while requests < pages:
                requests += 1
                try:
                    listed, following = self._log_page(parameters, subject)
                except PortFailed:
                    if requests == 1:
                        raise
                    break
                recent = [entry for entry in listed if datetime.fromisoformat(entry["delivered_at"]) >= since]
                arrived |= {str(entry["guid"]) for entry in listed if 200 <= entry["status_code"] < 300}
                failed |= {str(entry["guid"]): FailedDelivery(str(entry["id"]), str(entry["guid"])) for entry in recent}
                if following is None or len(recent) < len(listed):
                    break
                # Only the cursor of the next page's address is taken, so that the app's proof goes to no other host.
                parameters["cursor"] = parse_qs(urlsplit(following["url"]).query)["cursor"][0]
        return FailedDeliveries(tuple(one for guid, one in failed.items() if guid not in arrived), requests)

    def _log_page(self, parameters: dict[str, str], subject: str) -> tuple[list[dict[str, Any]], dict[str, str] | None]:
        """Return the entries of a page of the log, and the link to the next one."""
        with self._session.doing(subject):
            response = self._session.ask("GET", f"{self._root}/app/hook/deliveries", subject, params=parameters)
            return json_of(response), response.links.get("next")

    def delivery(self, failed: FailedDelivery) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the headers and the payload of a webhook."""
        subject = "webhook"
        with self._session.doing(subject):
            url = f"{self._root}/app/hook/deliveries/{int(failed.identity)}"
            sent = json_of(self._session.ask("GET", url, subject))["request"]
            return {name.lower(): str(value) for name, value in sent["headers"].items()}, dict(sent["payload"])

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _mint(self) -> None:
        subject = "installation of the GitHub app"
        with self._session.doing(subject):
            if self._installation is None:
                found = self._session.ask("GET", f"{self._root}/repos/{self._repository}/installation", subject)
                self._installation = str(json_of(found)["id"])
            answer: dict[str, Any] = json_of(
                self._session.ask(
                    "POST",
                    f"{self._root}/app/installations/{self._installation}/access_tokens",
                    subject,
                    json=self._request,
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
            # The cause is left out, because its text may repeat the key.
            raise PortFailed(
                f"the GitHub app's private key cannot sign (PEM with an RSA key is expected): {type(error).__name__}"
            ) from None
