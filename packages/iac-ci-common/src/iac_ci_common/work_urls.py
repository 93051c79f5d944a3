"""Signs the URLs of one order: without a call of a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common import keys
from iac_ci_common.limits import MAX_LOG_UPLOAD_BYTES, MAX_RESULT_BYTES, URL_SECONDS
from iac_ci_common.models.work import WorkUrls

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.ports import Objects


def url_seconds(run: RunRow, order: OrderRow, now: datetime) -> int:
    """Return the life of URLs that are signed now: minutes, never beyond the last report, capped by the job."""
    left = int((order.last_report(run) - now).total_seconds())
    return max(1, min(URL_SECONDS, run.presign_expiry or URL_SECONDS, left))


def invocation_urls(objects: Objects, order: OrderRow, *, seconds: int) -> WorkUrls:
    """Return all URLs of an order, for a worker that is invoked with them; the lengths of its uploads are open."""
    write, order_key = objects.presign_put, (order.run_id, order.order_num)
    return _reading_urls(objects, order, seconds).model_copy(
        update={
            "log": write(keys.log(*order_key), seconds=seconds, create_once=False),
            "result": write(keys.result(*order_key), seconds=seconds, create_once=True),
        }
    )


def traded_urls(
    objects: Objects, order: OrderRow, *, seconds: int, log_bytes: int | None, result_bytes: int | None
) -> WorkUrls:
    """Return the URLs that one trade gives; an upload has one if its length is named and within the limit."""
    write, order_key = objects.presign_put, (order.run_id, order.order_num)
    urls: dict[str, str] = {}
    if log_bytes is not None and log_bytes <= MAX_LOG_UPLOAD_BYTES:
        urls["log"] = write(keys.log(*order_key), seconds=seconds, create_once=False, length=log_bytes)
    if result_bytes is not None and result_bytes <= MAX_RESULT_BYTES:
        urls["result"] = write(keys.result(*order_key), seconds=seconds, create_once=True, length=result_bytes)
    return _reading_urls(objects, order, seconds).model_copy(update=urls)


def _reading_urls(objects: Objects, order: OrderRow, seconds: int) -> WorkUrls:
    read, order_key = objects.presign_get, (order.run_id, order.order_num)
    return WorkUrls(
        package=read(keys.package(*order_key), seconds=seconds),
        code=read(keys.code(order.code_sha256), seconds=seconds) if order.code_sha256 else None,
        claim=objects.presign_put(keys.claim(*order_key), seconds=seconds, create_once=True),
        claim_check=read(keys.claim(*order_key), seconds=seconds),
    )
