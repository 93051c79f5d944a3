"""Reads the logs of orders, in pieces: parts while the commands run, the whole log after their end."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common import keys
from iac_ci_common.errors import NotFound, StoredUnreadable
from iac_ci_common.models.result import Result
from iac_ci_common.states import TERMINAL

if TYPE_CHECKING:
    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import Objects

MAX_LOG_BYTES: Final = 1024 * 1024
"""Largest log that the page shows; a longer one is a download."""

DOWNLOAD_SECONDS: Final = 300
"""How long the URL of a download is valid."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The next bytes of a log. ``part`` and ``offset`` are where the one after it begins.

    ``is_last`` says that nothing follows; ``is_cut`` that the log is longer than a page shows.
    """

    data: bytes
    part: int
    offset: int
    is_last: bool
    is_cut: bool = False

    def as_state(self) -> dict[str, object]:
        """Return what a poll sends. The bytes are base64, because a piece may end inside of a character."""
        return {
            "data": base64.b64encode(self.data).decode(),
            "part": self.part,
            "offset": self.offset,
            "last": self.is_last,
            "cut": self.is_cut,
        }


def read_piece(objects: Objects, order: OrderRow, attempt: int, *, part: int, offset: int) -> Piece:
    """Return the next piece of the log of an order's attempt, after ``part`` parts that have ``offset`` bytes."""
    has_ended = attempt < order.attempt or order.status in TERMINAL
    if has_ended:
        whole = _found(objects, keys.log(order.run_id, order.order_num, attempt), MAX_LOG_BYTES)
        if whole is not None:
            piece = whole[offset:MAX_LOG_BYTES]
            return Piece(piece, part, offset + len(piece), is_last=True, is_cut=len(whole) > MAX_LOG_BYTES)
    data, part = _parts(objects, order, attempt, part, MAX_LOG_BYTES - offset)
    is_cut = offset + len(data) > MAX_LOG_BYTES
    data = data[: MAX_LOG_BYTES - offset]
    if has_ended and not data and not offset:
        # A worker that stored no log may have left the end of it in its result.
        result = read_result(objects, order, attempt)
        data = result.log_tail.encode() if result is not None else b""
    return Piece(data, part, offset + len(data), is_last=has_ended or is_cut, is_cut=is_cut)


def read_result(objects: Objects, order: OrderRow, attempt: int) -> Result | None:
    """Return the result of an order's attempt; None if there is none (any more) or this version cannot read it."""
    found = _found(objects, keys.result(order.run_id, order.order_num, attempt), None)
    try:
        return Result.from_stored(found) if found is not None else None
    except StoredUnreadable:
        return None


def _parts(objects: Objects, order: OrderRow, attempt: int, first: int, room: int) -> tuple[bytes, int]:
    """Return the parts from ``first`` on until they have more than ``room`` bytes, and the number after them."""
    prefix = keys.live_parts(order.run_id, order.order_num, attempt)
    after = keys.live_part(order.run_id, order.order_num, first - 1, attempt) if first else None
    data = b""
    for key in objects.list(prefix, after=after):
        # The parts of further attempts come last.
        if "/" in key.removeprefix(prefix) or len(data) > room:
            break
        # The whole log may have been stored since, and the parts removed.
        data += _found(objects, key, MAX_LOG_BYTES) or b""
        first += 1
    return data, first


def _found(objects: Objects, key: str, max_bytes: int | None) -> bytes | None:
    try:
        return objects.get(key, max_bytes=max_bytes)
    except NotFound:
        return None
