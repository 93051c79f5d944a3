"""Parses Lambda's records of asynchronous invocations that failed at every attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from iac_ci_common.models.answer import PreparationTask
from iac_ci_common.models.work import Work


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """A worker ended without a result; ``dispatch`` and ``call`` (empty if the record has none) identify it."""

    run_id: str
    order_num: str
    reason: str
    dispatch: str
    call: str = ""


@dataclass(frozen=True, slots=True)
class PreparationDied:
    """The preparation of a run failed at every attempt of Lambda."""

    run_id: str
    reason: str


def parse_failure(event: dict[str, Any]) -> WorkerDied | PreparationDied | None:
    """Return a failure record, None if the event is not one.

    Raises ``ValueError`` for a record about an invocation of neither a worker nor a preparation.
    The format is documented in AWS Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations".
    """
    if "requestPayload" not in event:
        return None
    payload = event["requestPayload"]
    answer = event.get("responsePayload") or {}
    reason = str(answer.get("errorMessage") or event.get("requestContext", {}).get("condition") or "no reason")
    try:
        work = Work.model_validate(payload)
    except ValidationError:
        if isinstance(payload, dict) and "trigger" in payload:
            # The pull request gets no comment; the error makes this invocation fail, which raises an alarm.
            raise ValueError(f"the event {payload['trigger']!r:.60} could not be processed: {reason[:500]}") from None
        return PreparationDied(PreparationTask.model_validate(payload).prepare, reason[:500])
    call = str(event.get("requestContext", {}).get("requestId") or "")
    return WorkerDied(work.run_id, work.order_num, reason[:500], work.dispatch, call)
