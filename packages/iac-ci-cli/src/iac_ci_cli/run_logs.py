"""Follows the logs of a run's orders."""

from __future__ import annotations

import codecs
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iac_ci_cli.attention import Attention
from iac_ci_common.errors import NotFound, PortFailed
from iac_ci_common.order_logs import read_log, read_parts
from iac_ci_common.states import OPEN, RUN_TERMINAL, TERMINAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from iac_ci_cli.connection import StackClient
    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import RunRows

_POLL_SECONDS: Final = 1.0
_FAILURES: Final = 20


@dataclass(slots=True)
class _Printed:
    """How much of the log of an order's attempt was printed."""

    size: int = 0
    parts: int = 0
    ended: bool = False
    decoder: codecs.IncrementalDecoder = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"))


class Follower:
    """Prints the logs of a run as they grow, and asks its workers to send them often."""

    def __init__(self, client: StackClient, run: str, show: Callable[[OrderRow, str], None]) -> None:
        """``show`` gets new text of the log of an order's attempt, with the order's row of that attempt."""
        self._client, self._run, self._show = client, run, show
        self._printed: dict[tuple[str, int], _Printed] = {}
        self._attention = Attention(client, run, output=True)

    def follow(self, order_num: str | None, wait: Callable[[float], None] = time.sleep) -> None:
        """Follow all orders, or one, until they have ended.

        A failure that may pass is waited for; raises ``PortFailed`` for another one, and for twenty in a row.
        """
        failures = 0
        while True:
            try:
                if self.step(order_num):
                    return
                failures = 0
            except PortFailed as error:
                failures += 1
                if not error.retry_is_safe or failures == _FAILURES:
                    raise
            wait(_POLL_SECONDS)

    def step(self, order_num: str | None = None, *, rows: RunRows | None = None) -> bool:
        """Show what is new; return whether there will be no more. The run's ``rows`` are read if they are not given."""
        self._attention.renew()
        rows = rows or self._client.runs.read(self._run)
        chosen = [row for row in rows.orders if order_num in {None, row.order_num}]
        for row in chosen:
            for attempt in range(1, row.attempt):
                self._new(row.model_copy(update={"attempt": attempt}), ended=True)
            if row.status in OPEN or row.status in TERMINAL:
                self._new(row, ended=row.status in TERMINAL)
        ended = rows.run is not None and rows.run.status in RUN_TERMINAL
        return bool(chosen) and (ended or all(row.status in TERMINAL for row in chosen))

    def _new(self, row: OrderRow, *, ended: bool) -> None:
        printed = self._printed.setdefault((row.order_num, row.attempt), _Printed())
        if printed.ended:
            return
        objects = self._client.internal
        if ended:
            log = read_log(objects, *row.attempt_key)
            printed.ended = True
            self._print(row, printed, log.data[printed.size :] if log is not None else b"", last=True)
            return
        # Parts that were removed meanwhile are in the whole log.
        with contextlib.suppress(NotFound):
            for part in read_parts(objects, row.attempt_key, printed.parts):
                printed.parts += 1
                self._print(row, printed, part, last=False)

    def _print(self, row: OrderRow, printed: _Printed, data: bytes, *, last: bool) -> None:
        printed.size += len(data)
        if text := printed.decoder.decode(data, final=last):
            self._show(row, text)
