"""Chooses the provider for a repository's address and opens the repository with it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import cache
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
"""The entry point group of providers; each is registered under its kind."""


def parse_credentials(secret: str) -> Credentials:
    """Parse a secret: a token, or ``{"app_id": …, "private_key": …, "installation_id": …}`` of a GitHub app.

    Raises ``PortFailed``; its message never repeats the secret.
    """
    if not secret.lstrip().startswith("{"):
        token = secret.strip()
        if not token or not token.isascii() or not token.isprintable():
            raise PortFailed(
                "the code host's token is empty or has characters that no HTTP header allows: store it again"
            )
        return TokenCredentials(token)
    try:
        parsed = json.loads(secret)
        installation = parsed.get("installation_id")
        return AppCredentials(
            app_id=str(parsed["app_id"]),
            private_key=str(parsed["private_key"]),
            installation_id=None if installation is None else str(installation),
        )
    except (ValueError, KeyError):
        raise PortFailed(
            "the code host's secret is neither a token nor JSON with app_id and private_key of a GitHub app"
        ) from None


def open_code_host(
    repository: str,
    credentials: Credentials,
    *,
    hosts: Mapping[str, HostSettings] | None = None,
    seconds: float = 60,
) -> CodeHost:
    """Open a repository with the provider registered for its host; only that provider is imported.

    ``hosts`` has the providers of self-managed hosts whose names do not show them; ``seconds`` limits each call with
    its pages, retries and waits. Raises ``PortFailed`` if the address is not one of a code host or its provider is not
    installed.
    """
    address = parse_address(repository)
    if address is None:
        raise PortFailed(
            f"{repository!r:.200} is not the address of a repository (example: https://github.com/owner/name)"
        )
    settings = settings_for(address.host, hosts)
    return _provider(settings.kind)(address, credentials, api_url=settings.api_url, seconds=seconds)


@cache  # reads the metadata of every installed package
def _provider(kind: str) -> Provider:
    registered = entry_points(group=GROUP, name=kind)
    if not registered:
        raise PortFailed(f"no provider for code hosts of kind {kind!r} is installed (entry point group {GROUP})")
    return cast("Provider", next(iter(registered)).load())


class OpenedCodeHosts:
    """Opens code hosts by address; reads the secret each time, because it may have been replaced."""

    def __init__(
        self, secrets: Secrets, *, hosts: Mapping[str, HostSettings] | None = None, seconds: float = 60
    ) -> None:
        """Limit each call to a host to ``seconds``, with its pages, retries and waits."""
        self._secrets = secrets
        self._hosts = hosts
        self._seconds = seconds

    @contextmanager
    def open(self, repository: str, token_location: str) -> Iterator[CodeHost]:
        """Open the repository's host and close it afterwards; raise ``PortFailed`` if it or its secret is unusable."""
        credentials = parse_credentials(self._secrets.read(parse_location(token_location)))
        host = open_code_host(repository, credentials, hosts=self._hosts, seconds=self._seconds)
        try:
            yield host
        finally:
            host.close()


__all__ = ["GROUP", "OpenedCodeHosts", "open_code_host", "parse_credentials"]
