"""Lets the engine know that a person waits for a run, so that its workers report more often."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import ConditionFailed, NotFound, PortFailed
from iac_ci_common.limits import FOLLOW_SECONDS

if TYPE_CHECKING:
    from iac_ci_cli.connection import StackClient

_AGAIN_SECONDS: Final = 60.0


class Attention:
    """The wish of one command, repeated once a minute; with ``output`` workers also send their logs often."""

    def __init__(self, client: StackClient, run: str, *, output: bool) -> None:
        """Nothing is sent before ``renew`` is called."""
        self._client, self._run, self._output = client, run, output
        self._next = 0.0

    def renew(self) -> None:
        """Send the wish if it is due. Raises ``PortFailed`` if the rows cannot be written, only with ``output``."""
        now = time.monotonic()
        if now < self._next:
            return
        try:
            until = self._client.clock.now() + timedelta(seconds=FOLLOW_SECONDS)
            self._client.runs.follow(self._run, until, output=self._output)
        except (NotFound, ConditionFailed):
            # A run that is not prepared has no row to write the wish to; one that has ended needs none.
            return
        except PortFailed:
            # A person who may only read waits all the same, and a worker then reports a little later.
            if self._output:
                raise
        self._next = now + _AGAIN_SECONDS


__all__ = ["Attention"]
