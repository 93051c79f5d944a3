"""Finds the provider for a repository's address and opens it."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final, cast

from iac_ci_common.errors import PortFailed
from iac_ci_common.locations import parse_location
from iac_ci_vcs.provider import (
    AppCredentials,
    CodeHost,
    Credentials,
    HostSettings,
    Provider,
    RepositoryAddress,
    TokenCredentials,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iac_ci_common.ports import Secrets

GROUP: Final = "iac_ci.code_hosts"
"""The entry point group in which providers are registered, each under its kind."""

KNOWN_HOSTS: Final[Mapping[str, HostSettings]] = {
    "github.com": HostSettings("github"),
    "gitlab.com": HostSettings("gitlab"),
    "bitbucket.org": HostSettings("bitbucket"),
}

_ADDRESS: Final = re.compile(
    r"(?:https://|ssh://[A-Za-z0-9_.-]+@|[A-Za-z0-9_.-]+@)"
    r"(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*(?::\d{1,5}(?=/))?)"
    r"[/:](?P<path>[A-Za-z0-9_.~-]+(?:/[A-Za-z0-9_.~-]+)+)/?"
)


def parse_address(repository: str) -> RepositoryAddress | None:
    """Take an ``https://``, ``ssh://`` or ``user@host:path`` address apart; None where it is on no code host."""
    match = _ADDRESS.fullmatch(repository)
    if match is None:
        return None
    path = match["path"].removesuffix(".git")
    if any(part.strip(".") == "" for part in path.split("/")):
        return None
    host = match["host"]
    if not repository.startswith("https://"):
        # The port is ssh's, not the API's.
        host = host.partition(":")[0]
    return RepositoryAddress(host.lower(), path)


def parse_credentials(secret: str) -> Credentials:
    """Read a secret: a token as it is, or ``{"app_id": …, "private_key": …, "installation_id": …}`` of a GitHub app.

    The error never repeats what was given.
    """
    if not secret.lstrip().startswith("{"):
        token = secret.strip()
        if not token or not token.isascii() or not token.isprintable():
            raise PortFailed("the code host's token is empty or holds what no header may hold")
        return TokenCredentials(token)
    try:
        said = json.loads(secret)
        installation = said.get("installation_id")
        return AppCredentials(
            app_id=str(said["app_id"]),
            private_key=str(said["private_key"]),
            installation_id=None if installation is None else str(installation),
        )
    except (ValueError, KeyError):
        raise PortFailed("the code host's secret is neither a token nor a GitHub app's") from None


def settings_for(host: str, hosts: Mapping[str, HostSettings] | None = None) -> HostSettings:
    """Say how a host is spoken to: as configured, as known, by its name; else as GitHub Enterprise."""
    known = {**KNOWN_HOSTS, **(hosts or {})}.get(host)
    if known is not None:
        return known
    return HostSettings("gitlab" if "gitlab" in host.split(".") else "github")


def open_code_host(
    repository: str,
    credentials: Credentials,
    *,
    hosts: Mapping[str, HostSettings] | None = None,
    seconds: float = 60,
) -> CodeHost:
    """Open a repository with the provider registered for its host; only that provider is imported.

    ``hosts`` says for self-managed ones what their name does not tell. Raises ``PortFailed`` where the address is on no
    code host or nobody is registered for it.
    """
    address = parse_address(repository)
    if address is None:
        raise PortFailed(f"{repository!r:.200} is no repository on a code host")
    settings = settings_for(address.host, hosts)
    registered = entry_points(group=GROUP, name=settings.kind)
    if not registered:
        raise PortFailed(f"no code host of the kind {settings.kind!r} is installed")
    provider = cast("Provider", next(iter(registered)).load())
    return provider(address, credentials, api_url=settings.api_url, seconds=seconds)


class OpenedCodeHosts:
    """Code hosts by address; the secret is read each time, for it may have been replaced."""

    def __init__(
        self, secrets: Secrets, *, hosts: Mapping[str, HostSettings] | None = None, seconds: float = 60
    ) -> None:
        """``seconds`` bounds each call to a host with its pages, retries and waits."""
        self._secrets = secrets
        self._hosts = hosts
        self._seconds = seconds

    @contextmanager
    def open(self, repository: str, token_location: str) -> Iterator[CodeHost]:
        """Give the repository's host for a while; raise ``PortFailed`` where it or its secret cannot be had."""
        credentials = parse_credentials(self._secrets.read(parse_location(token_location)))
        host = open_code_host(repository, credentials, hosts=self._hosts, seconds=self._seconds)
        try:
            yield host
        finally:
            host.close()


__all__ = [
    "GROUP",
    "KNOWN_HOSTS",
    "OpenedCodeHosts",
    "open_code_host",
    "parse_address",
    "parse_credentials",
    "settings_for",
]
