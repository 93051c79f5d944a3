"""Reads what is stored of the log of an order's attempt, wherever it lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iac_ci_common import keys
from iac_ci_common.errors import NotFound, StoredUnreadable
from iac_ci_common.limits import MAX_RESULT_BYTES
from iac_ci_common.models.result import Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from iac_ci_common.ports import Objects


@dataclass(frozen=True, slots=True)
class OrderLog:
    """What is stored of a log; if it is not whole, its first parts or its end, and nothing if there is neither.

    ``times`` are bytes of the whole log, each with the time from which it was written, as in ``Result.log_times``.
    """

    data: bytes
    is_whole: bool
    times: tuple[tuple[int, int], ...] = ()

    @property
    def text(self) -> str:
        """The log as text; a sign stands for bytes that are not UTF-8."""
        return self.data.decode("utf-8", "replace")


def read_log(
    objects: Objects, run_id: str, order_num: str, attempt: int = 1, *, max_bytes: int | None = None
) -> OrderLog | None:
    """Return the log of an attempt; None if nothing of the attempt is stored: not yet, or not any more.

    A short log is in the attempt's result, a longer one is an object. While neither exists, and of a worker that died,
    there are the parts that it sent; else there is the end of the log in the result. With ``max_bytes`` a longer log
    may be cut anywhere after ``max_bytes`` + 1 bytes.
    """
    attempt_key = (run_id, order_num, attempt)
    whole, _ = _read_whole(objects, attempt_key, max_bytes)
    if whole is not None:
        return whole
    try:
        parts = _join(read_parts(objects, attempt_key), max_bytes)
    except NotFound:
        parts = b""
    if parts:
        return OrderLog(parts, is_whole=False)
    # The order may have ended since, and its parts may have been removed.
    whole, result = _read_whole(objects, attempt_key, max_bytes)
    if whole is None and result is not None:
        return OrderLog(result.log_tail.encode(), is_whole=False)
    return whole


def read_parts(objects: Objects, attempt_key: tuple[str, str, int], first: int = 0) -> Iterator[bytes]:
    """Yield the parts of the log of an attempt that runs, from the part ``first`` on.

    ``attempt_key`` is the run's id, the order's number and the attempt's. Raises ``NotFound`` if the parts were removed
    meanwhile, because the whole log is stored.
    """
    run_id, order_num, attempt = attempt_key
    prefix = keys.live_parts(*attempt_key)
    after = keys.live_part(run_id, order_num, first - 1, attempt) if first else None
    for key in objects.list(prefix, after=after):
        if "/" in key.removeprefix(prefix):
            # The parts of further attempts come last.
            return
        yield objects.get(key)


def logged_attempts(objects: Objects, run_id: str) -> dict[str, list[int]]:
    """Return the attempts that a log may be stored of, by orders' numbers, also after the rows of the run are gone."""
    found: set[tuple[str, int]] = set()
    for key in objects.list(keys.callbacks(run_id)):
        result = keys.parse_result(key)
        # Neither the answer to an order nor the run's trigger has a log.
        if result is not None and key == keys.result(*result) and key != keys.trigger(run_id):
            found.add((result.order_num, result.attempt))
    for key in objects.list(keys.logs_of_run(run_id)):
        if (attempt := keys.parse_log(run_id, key)) is not None:
            found.add(attempt)
    by_order: dict[str, list[int]] = {}
    for order_num, number in sorted(found):
        by_order.setdefault(order_num, []).append(number)
    return by_order


def read_result(objects: Objects, run_id: str, order_num: str, attempt: int = 1) -> Result | None:
    """Return the result of an attempt; None if there is none (any more) or this version cannot read it."""
    try:
        return Result.from_stored(objects.get(keys.result(run_id, order_num, attempt), max_bytes=MAX_RESULT_BYTES))
    except (NotFound, StoredUnreadable):
        return None


def _read_whole(
    objects: Objects, attempt_key: tuple[str, str, int], max_bytes: int | None
) -> tuple[OrderLog | None, Result | None]:
    """Return the whole log, None if there is none, and the attempt's result."""
    result = read_result(objects, *attempt_key)
    times = result.log_times if result is not None else ()
    if result is not None and result.has_whole_log:
        return OrderLog(result.log_tail.encode(), is_whole=True, times=times), result
    try:
        return OrderLog(objects.get(keys.log(*attempt_key), max_bytes=max_bytes), is_whole=True, times=times), result
    except NotFound:
        return None, result


def _join(parts: Iterable[bytes], max_bytes: int | None) -> bytes:
    data = bytearray()
    for part in parts:
        data += part
        if max_bytes is not None and len(data) > max_bytes:
            break
    return bytes(data)
