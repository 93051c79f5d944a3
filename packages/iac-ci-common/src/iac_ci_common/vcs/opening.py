"""Opens a repository's code host with the secret that lies where somebody says."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from iac_ci_common.locations import parse_location
from iac_ci_common.vcs.hosts import open_code_host, parse_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iac_ci_common.ports import Secrets
    from iac_ci_common.vcs.provider import CodeHost, HostSettings


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
