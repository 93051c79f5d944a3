"""Tokens with which commands read private modules: they read the contents of some repositories and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iac_ci_common.errors import PortFailed
from iac_ci_vcs.address import parse_address, settings_for
from iac_ci_vcs.github import api_root
from iac_ci_vcs.github_app import InstallationTokens
from iac_ci_vcs.hosts import open_code_host, parse_credentials
from iac_ci_vcs.provider import AppCredentials, TokenCredentials

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from iac_ci_vcs.provider import HostSettings


@dataclass(frozen=True, slots=True)
class ModuleToken:
    """A user name and a token for git; ``expires_at`` is None for a token that the operator stored."""

    username: str
    token: str = field(repr=False)
    expires_at: datetime | None = None


def app_token(
    repositories: Sequence[str], secret: str, hosts: Mapping[str, HostSettings] | None = None, *, seconds: float
) -> ModuleToken:
    """Create a token of a GitHub app that reads the contents of these repositories only, for one hour.

    ``repositories`` are https URLs of one owner's repositories on one host, all of which the app's installation has.
    Raises ``PortFailed``, also for a secret that is no app's: such a token may do more than read, so commands never get
    it.
    """
    credentials = parse_credentials(secret)
    if not isinstance(credentials, AppCredentials):
        raise PortFailed(
            "the connection's token is not a GitHub app's, so no token that only reads can be made from it; store a"
            " read-only token, and name it as modules_token_location of the connection"
        )
    addresses = [address for address in map(parse_address, repositories) if address is not None]
    settings = settings_for(addresses[0].host, hosts)
    tokens = InstallationTokens(
        credentials,
        host=addresses[0].host,
        root=api_root(addresses[0].host, settings.api_url),
        repository=addresses[0].path,
        seconds=seconds,
        only_reads=[address.path.rpartition("/")[2] for address in addresses],
    )
    try:
        return ModuleToken("x-access-token", tokens.token(), tokens.expires_at)
    finally:
        tokens.close()


def stored_token(repository: str, secret: str, hosts: Mapping[str, HostSettings] | None = None) -> ModuleToken:
    """Return the read-only token that the operator stored, with the user name that the host wants.

    Raises ``PortFailed`` for a secret that is an app's key.
    """
    credentials = parse_credentials(secret)
    if not isinstance(credentials, TokenCredentials):
        raise PortFailed("modules_token_location names the key of a GitHub app; leave it out, or name a token")
    host = open_code_host(repository, credentials, hosts=hosts)
    try:
        clone = host.clone()
    finally:
        host.close()
    return ModuleToken(clone.username, clone.token)


__all__ = ["ModuleToken", "app_token", "stored_token"]
