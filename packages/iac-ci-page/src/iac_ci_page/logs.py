"""Reads the logs of orders, in pieces: parts while the commands run, the whole log after their end."""

from __future__ import annotations

import base64
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import NotFound
from iac_ci_common.order_logs import read_log, read_parts
from iac_ci_common.states import TERMINAL

if TYPE_CHECKING:
    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import Objects

MAX_LOG_BYTES: Final = 1024 * 1024
"""Largest log that the page shows; a longer one is a download."""


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
    attempt_key = (order.run_id, order.order_num, attempt)
    if has_ended:
        log = read_log(objects, *attempt_key, max_bytes=MAX_LOG_BYTES)
        data = log.data if log is not None else b""
        piece = data[offset:MAX_LOG_BYTES]
        return Piece(piece, part, offset + len(piece), is_last=True, is_cut=len(data) > MAX_LOG_BYTES)
    data, part = _parts(objects, attempt_key, part, MAX_LOG_BYTES - offset)
    is_cut = offset + len(data) > MAX_LOG_BYTES
    data = data[: MAX_LOG_BYTES - offset]
    return Piece(data, part, offset + len(data), is_last=is_cut, is_cut=is_cut)


def _parts(objects: Objects, attempt_key: tuple[str, str, int], first: int, room: int) -> tuple[bytes, int]:
    """Return the parts from ``first`` on until they have more than ``room`` bytes, and the number after them."""
    data = b""
    # Parts that were removed meanwhile are in the whole log.
    with contextlib.suppress(NotFound):
        for part in read_parts(objects, attempt_key, first):
            data += part
            first += 1
            if len(data) > room:
                break
    return data, first
