"""Reads what Lambda sends when an asynchronous call of another function has failed for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from iac_ci_common.models.answer import PreparationTask
from iac_ci_common.models.work import Work


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """A worker ended without reporting; ``dispatch`` and ``call`` (empty if Lambda does not tell) say which one."""

    run_id: str
    order_num: str
    reason: str
    dispatch: str
    call: str = ""


@dataclass(frozen=True, slots=True)
class PreparationDied:
    """The init function's second leg failed as often as Lambda tries."""

    run_id: str
    reason: str


def parse_failure(event: dict[str, Any]) -> WorkerDied | PreparationDied | None:
    """Read a failure record; None if the event is none.

    Raises ``ValueError`` for a record about a call that is neither a worker's nor a preparation's.
    The form is that of AWS Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations".
    """
    if "requestPayload" not in event:
        return None
    payload = event["requestPayload"]
    answer = event.get("responsePayload") or {}
    reason = str(answer.get("errorMessage") or event.get("requestContext", {}).get("condition") or "no reason given")
    try:
        work = Work.model_validate(payload)
    except ValidationError:
        if isinstance(payload, dict) and "trigger" in payload:
            # Nothing but the code host could tell the pull request, and that is what failed: people hear of it.
            raise ValueError(f"the event {payload['trigger']!r:.60} could not be worked on: {reason[:500]}") from None
        return PreparationDied(PreparationTask.model_validate(payload).prepare, reason[:500])
    call = str(event.get("requestContext", {}).get("requestId") or "")
    return WorkerDied(work.run_id, work.order_num, reason[:500], work.dispatch, call)
