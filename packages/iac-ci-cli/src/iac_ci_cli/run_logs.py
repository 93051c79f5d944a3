"""Reads logs of orders: whole ones, parts of those that still run, or what a worker that died has sent."""

from __future__ import annotations

import codecs
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iac_ci_cli.attention import Attention
from iac_ci_cli.log_stamps import stamped
from iac_ci_common import keys
from iac_ci_common.errors import NotFound, StoredUnreadable
from iac_ci_common.models.result import Result
from iac_ci_common.states import OPEN, RUN_TERMINAL, TERMINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iac_ci_cli.connection import StackClient
    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import Objects, RunRows

_POLL_SECONDS: Final = 1.0


def read_log(objects: Objects, run: str, order_num: str, attempt: int = 1) -> str | None:
    """Return the log of an attempt: the whole one, else the parts that were sent, else the result's end."""
    try:
        return objects.get(keys.log(run, order_num, attempt)).decode("utf-8", "replace")
    except NotFound:
        pass
    parts = b"".join(_parts(objects, run, order_num, attempt, 0))
    if parts:
        return parts.decode("utf-8", "replace")
    try:
        return Result.from_stored(objects.get(keys.result(run, order_num, attempt))).log_tail
    except (NotFound, StoredUnreadable):
        return None


def read_stamped_log(objects: Objects, run: str, order_num: str, attempt: int = 1) -> str | None:
    """Return the log as ``read_log`` does, with times before its lines if it is whole and its result is still there."""
    try:
        whole = objects.get(keys.log(run, order_num, attempt))
    except NotFound:
        sent = read_log(objects, run, order_num, attempt)
        return None if sent is None else stamped(sent.encode(), ())
    try:
        return stamped(whole, Result.from_stored(objects.get(keys.result(run, order_num, attempt))).log_times)
    except (NotFound, StoredUnreadable):
        return stamped(whole, ())


def stored_logs(objects: Objects, run: str) -> dict[str, list[int]]:
    """Return the attempts whose whole logs are stored, by orders' numbers, also after the rows of the run are gone."""
    found: dict[str, list[int]] = {}
    for key in objects.list(keys.logs_of_run(run)):
        attempt = keys.parse_log(run, key)
        if attempt is not None:
            found.setdefault(attempt[0], []).append(attempt[1])
    return {num: sorted(attempts) for num, attempts in sorted(found.items())}


def _parts(objects: Objects, run: str, order_num: str, attempt: int, first: int) -> Iterator[bytes]:
    """Yield the parts of an attempt's log from the part ``first`` on."""
    prefix = keys.live_parts(run, order_num, attempt)
    after = keys.live_part(run, order_num, first - 1, attempt) if first else None
    for key in objects.list(prefix, after=after):
        if "/" in key.removeprefix(prefix):
            # The parts of further attempts come last.
            return
        # The whole log may have been stored since, and the parts removed.
        with contextlib.suppress(NotFound):
            yield objects.get(key)


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
        """Follow all orders, or one, until they have ended."""
        while not self.step(order_num):
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
            return None
        objects = self._client.internal
        printed.ended = ended
        if printed.ended:
            with contextlib.suppress(NotFound):
                whole = objects.get(keys.log(*row.attempt_key))
                return self._print(row, printed, whole[printed.size :], last=True)
        for part in _parts(objects, *row.attempt_key, printed.parts):
            printed.parts += 1
            self._print(row, printed, part, last=False)
        if printed.ended and not printed.size:
            self._print(row, printed, (read_log(objects, *row.attempt_key) or "").encode(), last=True)
        return None

    def _print(self, row: OrderRow, printed: _Printed, data: bytes, *, last: bool) -> None:
        printed.size += len(data)
        if text := printed.decoder.decode(data, final=last):
            self._show(row, text)
