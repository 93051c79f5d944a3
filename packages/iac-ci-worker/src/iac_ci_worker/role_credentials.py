"""The credentials of an order's role, renewed before they end for as long as the order runs."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import IacCiError, PortFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from iac_ci_common.models.trade import RoleCredentials, TradeAnswer
    from iac_ci_common.ports import Clock, Logger
    from iac_ci_worker.rights import Rights

RENEW_SECONDS: Final = 900
"""How long before their end credentials are renewed: the SDKs of AWS begin to ask for others when 15 minutes
(botocore's ``RefreshableCredentials``) or five are left."""

_PAUSE_SECONDS: Final = 15
"""Least time between two attempts where the broker gives no credentials: commands may ask at any rate."""


class LivingCredentials:
    """Credentials that are renewed through the broker. Thread-safe."""

    def __init__(
        self,
        first: RoleCredentials,
        rights: Rights,
        clock: Clock,
        logger: Logger,
        *,
        mask: Callable[[Iterable[str]], None],
    ) -> None:
        """Begin with the credentials that the order began with; ``mask`` learns later ones before anything else."""
        self._newest, self._rights, self._clock, self._logger = first, rights, clock, logger
        self._mask = mask
        self._not_before: datetime | None = None
        self._renewing = threading.Lock()

    @property
    def due(self) -> bool:
        """Return whether it is time to renew the credentials."""
        now = self._clock.now()
        if self._not_before is not None and now < self._not_before:
            return False
        return self._rights.can_trade and now >= self._newest.expires_at - timedelta(seconds=RENEW_SECONDS)

    def take(self, answer: TradeAnswer) -> None:
        """Take the new credentials of a trade that asked for them, or note why there are none."""
        if answer.credentials is None:
            self._put_off(answer.credentials_failure or "the broker is of a version that renews nothing")
            return
        self._mask(answer.credentials.variables.values())
        self._newest, self._not_before = answer.credentials, None

    def current(self) -> RoleCredentials:
        """Return credentials that are valid, new ones where it is time.

        Those of before are good until their end, whatever the broker answers. Raises ``PortFailed`` after that.
        """
        with self._renewing:
            if self.due:
                try:
                    self.take(self._rights.trade(renews=True))
                except IacCiError as error:
                    self._put_off(error.message)
            if self._clock.now() >= self._newest.expires_at:
                raise PortFailed("the session of the order's role has ended and could not be renewed")
            return self._newest

    def _put_off(self, reason: str) -> None:
        self._not_before = self._clock.now() + timedelta(seconds=_PAUSE_SECONDS)
        self._logger.warning("the credentials of the role were not renewed", reason=reason)


__all__ = ["RENEW_SECONDS", "LivingCredentials"]
