"""Checks that the secrets of each connection can be read, before a webhook needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.errors import IacCiError
from iac_ci_common.locations import parse_location

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from iac_ci_common.ports import Clock, Logger, Secrets
    from iac_ci_init.chores import Allowance
    from iac_ci_triggers.connections import Connections


class ConnectionCheck:
    """Reads the webhook secrets and the token of each connected repository, and logs those that cannot be read.

    The endpoint answers an event without a readable secret like one with a wrong signature, so that nobody learns
    which repositories are connected; without this check the operator would not learn it either.
    """

    name = "connection-check"

    def __init__(
        self, connections: Callable[[datetime], Connections], secrets: Secrets, clock: Clock, logger: Logger
    ) -> None:
        """Use the operator's list and the stores of secrets."""
        self._connections, self._secrets, self._clock, self._logger = connections, secrets, clock, logger

    def subjects(self, now: datetime) -> Sequence[str]:
        """Return one repository of each connection."""
        return self._connections(now).first_repositories

    def work(self, subject: str, allowance: Allowance) -> None:
        """Check one connection."""
        connection = self._connections(self._clock.now()).find(f"https://{subject}")
        if connection is None:
            return
        tokens = [connection.token_location, *filter(None, [connection.modules_token_location])]
        for location in (*connection.webhook_secrets, *tokens):
            allowance.spend()
            try:
                self._secrets.read(parse_location(location))
            except IacCiError as error:
                if not error.retry_is_safe:
                    self._logger.warning(
                        "secret of a connection cannot be read",
                        repository=subject,
                        location=location,
                        error=error.message,
                    )
