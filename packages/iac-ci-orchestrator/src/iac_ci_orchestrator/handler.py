"""The Lambda handler: S3 notifies it of results."""

from __future__ import annotations

from typing import Any

from iac_ci_common.initialisation import build_early
from iac_ci_orchestrator.s3_events import wake_ups


def handler(event: dict[str, Any], context: object) -> dict[str, int]:
    """Process every run of the event's records. Raises an ``ExceptionGroup`` of failures, so that Lambda retries."""
    del context
    wakes = wake_ups(event)
    if not wakes:
        return {"runs": 0}
    from iac_ci_orchestrator.wiring import orchestrator

    engine = orchestrator()
    failures: list[Exception] = []
    for run_id, order_nums in wakes.items():
        try:
            engine.wake(run_id, order_nums)
        except Exception as error:  # noqa: BLE001 - one run's failure must not delay the others; raised below
            failures.append(error)
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(wakes)} runs failed", failures)
    return {"runs": len(wakes)}


def _build() -> None:
    from iac_ci_orchestrator.wiring import orchestrator

    orchestrator()


build_early(_build)
