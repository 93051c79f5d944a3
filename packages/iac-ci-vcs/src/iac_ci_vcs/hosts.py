"""Finds the provider for a repository's address and opens it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final, cast

from iac_ci_common.errors import PortFailed
from iac_ci_common.locations import parse_location
from iac_ci_vcs.address import parse_address, settings_for
from iac_ci_vcs.provider import (
    AppCredentials,
    CodeHost,
    Credentials,
    HostSettings,
    Provider,
    TokenCredentials,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iac_ci_common.ports import Secrets

GROUP: Final = "iac_ci.code_hosts"
"""The entry point group in which providers are registered, each under its kind."""


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
        """Return the repository's host for a while; raise ``PortFailed`` where it or its secret cannot be had."""
        credentials = parse_credentials(self._secrets.read(parse_location(token_location)))
        host = open_code_host(repository, credentials, hosts=self._hosts, seconds=self._seconds)
        try:
            yield host
        finally:
            host.close()


__all__ = ["GROUP", "OpenedCodeHosts", "open_code_host", "parse_credentials"]
