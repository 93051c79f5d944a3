"""The door: S3 says that results were written."""

from __future__ import annotations

from typing import Any

from iac_ci_orchestrator.s3_events import wake_ups


def handler(event: dict[str, Any], context: object) -> dict[str, int]:
    """Wake every run that the event's records name; raises so that Lambda retries what failed."""
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
        except Exception as error:  # noqa: BLE001 - one run's failure must not keep the others waiting; raised below
            failures.append(error)
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(wakes)} runs failed", failures)
    return {"runs": len(wakes)}
