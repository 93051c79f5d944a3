"""Parses addresses of repositories and chooses the provider for a host. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from iac_ci_vcs.provider import HostSettings, RepositoryAddress

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    """Parse an ``https://``, ``ssh://`` or ``user@host:path`` address; return None for any other."""
    match = _ADDRESS.fullmatch(repository)
    if match is None:
        return None
    path = match["path"].removesuffix(".git")
    if any(part.strip(".") == "" for part in path.split("/")):
        return None
    host = match["host"]
    if not repository.startswith("https://"):
        # The port belongs to ssh, not to the API.
        host = host.partition(":")[0]
    return RepositoryAddress(host.lower(), path)


def settings_for(host: str, hosts: Mapping[str, HostSettings] | None = None) -> HostSettings:
    """Return a host's provider: as configured, as known, as its name says; otherwise GitHub Enterprise."""
    known = {**KNOWN_HOSTS, **(hosts or {})}.get(host)
    if known is not None:
        return known
    return HostSettings("gitlab" if "gitlab" in host.split(".") else "github")
