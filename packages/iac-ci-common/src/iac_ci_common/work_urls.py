"""Signs the URLs of one order: without a call of a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common import keys
from iac_ci_common.limits import (
    MAX_LIVE_PARTS,
    MAX_LOG_UPLOAD_BYTES,
    MAX_OUTPUTS_BYTES,
    MAX_RESULT_BYTES,
    MAX_SEALED_FILES_BYTES,
    PARTS_PER_TRADE,
    URL_SECONDS,
)
from iac_ci_common.models.work import PartUrls, WorkUrls

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.models.trade import Trade
    from iac_ci_common.ports import Objects


def url_seconds(run: RunRow, order: OrderRow, now: datetime) -> int:
    """Return the life of URLs that are signed now: minutes, never beyond the last report, capped by the job."""
    left = int((order.last_report(run) - now).total_seconds())
    return max(1, min(URL_SECONDS, run.presign_expiry or URL_SECONDS, left))


def invocation_urls(objects: Objects, order: OrderRow, *, seconds: int) -> WorkUrls:
    """Return all URLs of an order, for a worker that is invoked with them; the lengths of its uploads are open."""
    write, order_key = objects.presign_put, order.attempt_key
    return _reading_urls(objects, order, seconds).model_copy(
        update={
            "log": write(keys.log(*order_key), seconds=seconds, create_once=False),
            "result": write(keys.result(*order_key), seconds=seconds, create_once=True),
        }
    )


def traded_urls(objects: Objects, order: OrderRow, trade: Trade, *, seconds: int) -> WorkUrls:
    """Return the URLs that one trade gives; an upload has one if its length is named and within the limit."""
    order_key = order.attempt_key
    uploads = (
        ("log", keys.log(*order_key), trade.log_bytes, MAX_LOG_UPLOAD_BYTES),
        ("result", keys.result(*order_key), trade.result_bytes, MAX_RESULT_BYTES),
        ("outputs", keys.outputs(*order_key), trade.outputs_bytes, MAX_OUTPUTS_BYTES),
        ("files", keys.files(*order_key), trade.files_bytes, MAX_SEALED_FILES_BYTES),
        ("kept", keys.kept(*order_key), trade.kept_bytes, MAX_SEALED_FILES_BYTES),
    )
    urls = {
        name: objects.presign_put(key, seconds=seconds, create_once=name == "result", length=length)
        for name, key, length, most in uploads
        if length is not None and length <= most
    }
    return _reading_urls(objects, order, seconds, parts=trade.parts).model_copy(update=urls)


def _reading_urls(objects: Objects, order: OrderRow, seconds: int, *, parts: int = 0) -> WorkUrls:
    read, order_key = objects.presign_get, order.attempt_key
    return WorkUrls(
        package=read(keys.package(order.run_id, order.order_num), seconds=seconds),
        code=read(keys.code(order.code_sha256), seconds=seconds) if order.code_sha256 else None,
        tools={tool.sha256: read(tool.key, seconds=seconds) for tool in order.tools},
        claim=objects.presign_put(keys.claim(*order_key), seconds=seconds, create_once=True),
        claim_check=read(keys.claim(*order_key), seconds=seconds),
        parts=_part_urls(objects, order, seconds, parts),
    )


def _part_urls(objects: Objects, order: OrderRow, seconds: int, first: int) -> PartUrls:
    """Return URLs for parts of the log; their lengths are open."""
    numbers = range(first, min(first + PARTS_PER_TRADE, MAX_LIVE_PARTS))
    found = (keys.live_part(order.run_id, order.order_num, number, order.attempt) for number in numbers)
    return PartUrls(
        first=first, urls=tuple(objects.presign_put(key, seconds=seconds, create_once=False) for key in found)
    )
