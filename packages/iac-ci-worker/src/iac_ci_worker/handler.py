"""The Lambda handler."""

from __future__ import annotations

from typing import Any

from iac_ci_common.initialisation import build_early
from iac_ci_common.limits import WORKER_LAMBDA_SECONDS
from iac_ci_common.models.work import Work
from iac_ci_common.tick import is_tick


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Run the order of the event.

    A failed order is a result, not an error. Raises if no result could be written; Lambda's failure destination then
    invokes the watchdog. If something of an earlier order is left, the process ends before the claim, so that Lambda
    restarts the sandbox and the watchdog queues the order again.
    """
    if is_tick(event):
        # It only keeps the function active.
        return {"active": True}
    from iac_ci_worker.wiring import clean_sandbox, worker

    work = Work.from_stored(event)
    runs = worker()
    with clean_sandbox():
        remaining = getattr(context, "get_remaining_time_in_millis", None)
        status = runs.run(
            work,
            call=str(getattr(context, "aws_request_id", "")),
            seconds_left=remaining() / 1000 if remaining is not None else WORKER_LAMBDA_SECONDS,
        )
    return {"run_id": work.run_id, "order_num": work.order_num, "status": status.value if status else None}


def _build() -> None:
    from iac_ci_worker.wiring import worker

    worker()


build_early(_build)
