"""Prints what the commands of a run print, while they run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from rich.text import Text

from iac_ci_cli.run_logs import Follower
from iac_ci_cli.text import plain
from iac_ci_common.states import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from iac_ci_cli.connection import StackClient
    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import RunRows

_POLL_SECONDS: Final = 1.0
MAX_HELD_CHARS: Final = 65_536
"""Longest line that is held back until its end; what is longer is broken."""


class LiveOutput:
    """Prints whole lines as they arrive, each with its order's name before it where the run has several orders.

    The lines of orders that run at the same time alternate, and no line is mixed with another.
    """

    def __init__(
        self, client: StackClient, run_id: str, console: Console, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Print to ``console``, also above a live table that it shows; ``clock`` returns seconds."""
        self._follower = Follower(client, run_id, self._take)
        self._console, self._clock = console, clock
        self._labelled = False
        self._held: dict[str, tuple[OrderRow, str]] = {}
        self._printed: set[str] = set()
        self._ended: set[str] = set()
        self._next = 0.0

    def __call__(self, rows: RunRows) -> None:
        """Print what is new of the orders in ``rows``, once a second and whenever an order has ended."""
        ended = [row for row in rows.orders if row.status in TERMINAL and row.order_num not in self._ended]
        if not ended and self._clock() < self._next:
            return
        self._next = self._clock() + _POLL_SECONDS
        self._labelled = len(rows.orders) > 1
        self._follower.step(rows=rows)
        for row in ended:
            self._ended.add(row.order_num)
            self._end(row)

    def _take(self, row: OrderRow, text: str) -> None:
        before, rest = self._held.pop(row.order_num, (row, ""))
        if before.attempt != row.attempt and rest:
            self._print(before, rest)
            rest = ""
        held = rest + text
        # A line break of Windows, or an escape sequence, may arrive in two parts.
        whole, line_end, rest = held.rpartition("\n")
        if len(rest) > MAX_HELD_CHARS:
            whole, line_end, rest = held, "", ""
        if rest:
            self._held[row.order_num] = row, rest
        if whole or line_end:
            self._print(row, whole)

    def _end(self, row: OrderRow) -> None:
        before, rest = self._held.pop(row.order_num, (row, ""))
        if rest:
            self._print(before, rest)
        if row.dispatched_at is not None and row.order_num not in self._printed:
            self._line(row, "(the output was not stored)", "dim")

    def _print(self, row: OrderRow, text: str) -> None:
        self._printed.add(row.order_num)
        for line in plain(text.removesuffix("\r")).split("\n"):
            self._line(row, line)

    def _line(self, row: OrderRow, line: str, style: str = "") -> None:
        attempt = f", attempt {row.attempt}" if row.attempts > 1 else ""
        label = (f"{row.order_name}{attempt} | ", "dim") if self._labelled or attempt else ""
        self._console.print(Text.assemble(label, (line, style)), soft_wrap=True)


__all__ = ["MAX_HELD_CHARS", "LiveOutput"]
