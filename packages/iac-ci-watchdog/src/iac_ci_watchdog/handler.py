"""The Lambda handler: a poll by the state machine, or the record of a failed asynchronous invocation."""

from __future__ import annotations

from typing import Any

from iac_ci_common.initialisation import build_early
from iac_ci_common.models.watch import Watch
from iac_ci_common.tick import is_tick
from iac_ci_watchdog.failures import WorkerDied, parse_failure


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Check an order or a run, or report a failed one. Errors are raised, so that AWS retries."""
    del context
    if is_tick(event) or is_tick(event.get("requestPayload") or {}):
        # It only keeps the function active. The record of one that failed in another function needs no repair.
        return {"active": True}
    from iac_ci_watchdog.wiring import watchdog

    failure = parse_failure(event)
    if failure is None:
        return watchdog().check(Watch.from_stored(event)).model_dump(mode="json")
    if isinstance(failure, WorkerDied):
        watchdog().worker_died(failure)
    else:
        watchdog().preparation_died(failure)
    return {"reported": failure.run_id}


def _build() -> None:
    from iac_ci_watchdog.wiring import watchdog

    watchdog()


build_early(_build)
