"""Parses Lambda's records of asynchronous invocations that failed at every attempt.

Lambda delivers them with the role of the function that failed, so the worker's role may invoke this function, and what
runs in a worker may forge a record. It is held against what the forger of another order's record cannot know.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from iac_ci_common.models.answer import PreparationTask
from iac_ci_common.models.work import Work
from iac_ci_common.tickets import digest

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.result import Claim
    from iac_ci_common.models.rows import OrderRow

_WORKER: Final = "-worker"
"""End of the worker function's name (``terraform/deploy/stack/functions.json``)."""

_SOONEST: Final = timedelta(seconds=150)
"""Soonest genuine record of a failed preparation after its acceptance: Lambda repeats a failed invocation after one and
after two more minutes (AWS Lambda Developer Guide, "How Lambda handles errors and retries with asynchronous
invocation"), less half a minute for clocks. An earlier record is ignored; the watchdog's polls repair the rest."""


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """A worker ended without a result.

    ``dispatch``, ``call`` (the id of the failed request) and ``function`` (its ARN) identify it, and ``ticket`` is the
    one that its invocation had; each is empty if the record has none.
    """

    run_id: str
    order_num: str
    reason: str
    dispatch: str
    call: str = ""
    function: str = ""
    ticket: str = field(default="", repr=False)

    def is_about(self, order: OrderRow) -> bool:
        """Return whether the order's row has this dispatch with this first ticket, and a worker function failed.

        A time of dispatch can be guessed, above all by a worker of the same run; the ticket cannot. The row of a
        version before tickets has none.
        """
        first = order.first_ticket(self.dispatch)
        has_ticket = first is None or digest(self.ticket) == first
        return self._is_of_a_worker and self.dispatch == order.dispatch and has_ticket

    def is_of_an_earlier_dispatch(self, order: OrderRow) -> bool:
        """Return whether a worker function failed whose first ticket the row knows from an earlier dispatch."""
        first = order.first_ticket(self.dispatch)
        return self._is_of_a_worker and self.dispatch != order.dispatch and digest(self.ticket) == first

    @property
    def _is_of_a_worker(self) -> bool:
        return self.function.partition(":function:")[2].partition(":")[0].endswith(_WORKER)

    def is_claimant(self, claim: Claim) -> bool:
        """Return whether the failed request is the one whose worker has the claim."""
        dispatch, _, rest = (claim.execution or "").partition(":")
        call = rest.partition(":")[0]
        return dispatch == self.dispatch and call in {"", self.call}


@dataclass(frozen=True, slots=True)
class PreparationDied:
    """The preparation of a run failed at every attempt of Lambda."""

    run_id: str
    reason: str

    def is_plausible(self, accepted_at: datetime, now: datetime) -> bool:
        """Return whether all attempts of Lambda can have failed since the run was accepted."""
        return now - accepted_at >= _SOONEST


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
        if isinstance(payload, dict) and ("trigger" in payload or "replan" in payload):
            # The pull request gets no comment; the error makes this invocation fail, which raises an alarm.
            about = payload.get("trigger", payload.get("replan"))
            raise ValueError(f"the event {about!r:.200} could not be processed: {reason[:500]}") from None
        return PreparationDied(PreparationTask.model_validate(payload).prepare, reason[:500])
    context = event.get("requestContext", {})
    call, function = (str(context.get(name) or "") for name in ("requestId", "functionArn"))
    return WorkerDied(work.run_id, work.order_num, reason[:500], work.dispatch, call, function, work.ticket or "")
