"""The token with which git reads a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_vcs.address import parse_address, settings_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iac_ci_vcs.provider import HostSettings


def git_token(repository: str, secret: str, hosts: Mapping[str, HostSettings] | None = None) -> str:
    """Return git's ``user:token`` for a secret; the code host's provider knows the user, and creates an app's token.

    A secret ``user:token`` is returned unchanged, except for Bitbucket, whose API tokens are stored with the account's
    e-mail address. Raises ``PortFailed`` if the secret is unusable or the host refuses it.
    """
    # Imported late: a token that is stored as git needs it needs no code host.
    from iac_ci_vcs.hosts import open_code_host, parse_credentials

    address = parse_address(repository)
    if address is None or not repository.startswith("https://"):
        return secret
    app = secret.lstrip().startswith("{")
    if ":" in secret and not app and settings_for(address.host, hosts).kind != "bitbucket":
        return secret
    host = open_code_host(repository, parse_credentials(secret), hosts=hosts)
    try:
        return host.clone().git_token
    finally:
        host.close()
