"""The Lambda handler."""

from __future__ import annotations

from typing import Any

from iac_ci_common.models.work import Work


def handler(event: dict[str, Any], context: object) -> dict[str, str | None]:
    """Run the order of the event.

    A failed order is a result, not an error. Raises if no result could be written, so that Lambda's failure destination
    invokes the watchdog.
    """
    from iac_ci_worker.wiring import worker

    work = Work.from_stored(event)
    status = worker().run(work, call=str(getattr(context, "aws_request_id", "")))
    return {"run_id": work.run_id, "order_num": work.order_num, "status": status.value if status else None}
