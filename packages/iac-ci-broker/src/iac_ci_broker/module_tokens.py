"""Tokens with which an order's commands read private modules, from the connections that list their repositories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common.cached_secrets import SharedSecrets
from iac_ci_common.errors import IacCiError, PortFailed
from iac_ci_common.locations import parse_location
from iac_ci_common.models.trade import GitToken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import Secrets
    from iac_ci_triggers.connections import Connection
    from iac_ci_vcs.provider import HostSettings

_HOST_SECONDS: Final = 8
"""Longest call to a code host: the function has 20 seconds."""


@dataclass(frozen=True, slots=True)
class ModuleTokens:
    """Makes tokens for the repositories of an order's row, which were checked when the run was prepared."""

    secrets: Secrets
    connections: str | None
    """Location of the operator's list of connections."""

    hosts: Mapping[str, HostSettings]

    def of(self, order: OrderRow, now: datetime) -> tuple[tuple[GitToken, ...], str | None]:
        """Return the tokens of an order, or why there are none; raise a failure that a retry may repair."""
        try:
            return tuple(self._token(keys, found) for keys, found in self._grouped(order.git_credentials, now)), None
        except IacCiError as error:
            if error.retry_is_safe:
                raise
            return (), error.message

    def _grouped(self, keys: Sequence[str], now: datetime) -> list[tuple[list[str], Connection]]:
        """Return the repositories by connection and owner: a token of an app is for those of one owner."""
        from iac_ci_triggers.connections import read_connections

        if self.connections is None:
            raise PortFailed("this stack's broker knows no connections; deploy the stack again")
        listed = read_connections(SharedSecrets(self.secrets).value(self.connections, now))
        groups: dict[tuple[int, str], tuple[list[str], Connection]] = {}
        for key in keys:
            connection = listed.find(f"https://{key}")
            if connection is None:
                raise PortFailed(f"{key} is no longer in a connection of this stack, so that git gets no token for it")
            groups.setdefault((id(connection), key.rpartition("/")[0]), ([], connection))[0].append(key)
        return list(groups.values())

    def _token(self, keys: list[str], connection: Connection) -> GitToken:
        from iac_ci_vcs.module_tokens import app_token, stored_token

        urls = [f"https://{key}" for key in keys]
        if connection.modules_token_location is not None:
            location = parse_location(connection.modules_token_location)
            made = stored_token(urls[0], self.secrets.read(location), self.hosts)
        else:
            secret = self.secrets.read(parse_location(connection.token_location))
            made = app_token(urls, secret, self.hosts, seconds=_HOST_SECONDS)
        return GitToken(repositories=tuple(keys), username=made.username, token=made.token, expires_at=made.expires_at)
