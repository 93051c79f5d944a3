"""Orders that wait for an approval: what they wait for, why an answer is refused, and what it makes of them: pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_common import keys
from iac_ci_common.limits import MAX_WAITING_CHARS
from iac_ci_common.models.approval import THROUGH_API, ApprovalAnswer
from iac_ci_common.models.result import Reporter, Result
from iac_ci_common.overrides import failures_to_override
from iac_ci_common.progress import waits_for
from iac_ci_common.states import TERMINAL, OrderState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from iac_ci_common.models.approval import StoredApproval
    from iac_ci_common.models.rows import OrderRow, RunRow

LONGER: Final = (
    "what must wait longer than a run is a new run: save the plan, and let a later command apply the saved plan"
)
"""What to do if a run's time is not enough for an approval."""

_TEAM: Final = "team:"

_MOST_FAILED: Final = 2
"""Most failed orders that a text names."""


def approvers(approval: StoredApproval) -> str:
    """Return who may answer, in words."""
    names = [f"team {name.removeprefix(_TEAM)}" if name.startswith(_TEAM) else name for name in approval.by]
    if approval.api:
        names.append("a signed request")
    return " or ".join(names)


def expiry(run: RunRow, order: OrderRow, now: datetime) -> datetime:
    """Return when an order that begins to wait now stops waiting: at the run's deadline at the latest."""
    expires = order.approval.expires if order.approval is not None else None
    return run.deadline if expires is None else min(run.deadline, now + timedelta(seconds=expires))


def waiting_words(approval: StoredApproval, until: datetime, failed: Sequence[OrderRow] = ()) -> str:
    """Return what an order waits for, at most ``MAX_WAITING_CHARS`` characters.

    The orders that ``failed`` and that the approval would override, and the time, are never cut off.
    """
    end = f"{override_words(failed)} until {until:%Y-%m-%d %H:%M} UTC"
    who = f"approval of {approvers(approval)}"
    room = MAX_WAITING_CHARS - len(end)
    return (who if len(who) <= room else f"{who[: room - 1]}…") + end


def override_words(failed: Sequence[OrderRow]) -> str:
    """Return which failed orders an approval would override, after a space; nothing if there are none."""
    names = [order.order_name for order in failed[:_MOST_FAILED]]
    more = f" and {len(failed) - len(names)} more" if len(failed) > len(names) else ""
    return f" to override {', '.join(names)}{more}" if names else ""


def not_answerable(run: RunRow, order: OrderRow, by_num: Mapping[str, OrderRow], now: datetime) -> str | None:
    """Return why no answer to an order counts now, None if one does; ``by_num`` are all orders of the run."""
    name = order.order_name
    if order.approval is None:
        return f"{name} runs commands and waits for no approval"
    if order.status in TERMINAL:
        return f"{name} has ended already: {order.reason or order.status.value.replace('_', ' ')}"
    if order.status is not OrderState.QUEUED and order.approval.overrides and not failures_to_override(order, by_num):
        return f"{name} has nothing to override: the orders that it is about have succeeded"
    if order.status is not OrderState.QUEUED:
        # It is answered, and its end is not written yet: the answer that is kept says who was first.
        return None
    stop = run.cancel_reason or run.preparation_error
    if stop is not None:
        return f"the run of {name} is stopped: {stop}"
    if order.waiting_for is None:
        return f"{name} does not wait for an approval yet; it waits for {waits_for(order, by_num) or 'its turn'}"
    if order.order_deadline is not None and now >= order.order_deadline:
        return f"{name} waited until {order.order_deadline:%Y-%m-%d %H:%M} UTC; the approval has expired"
    return None


def answer_result(order: OrderRow, answer: ApprovalAnswer) -> Result:
    """Return the result that an answer makes of an order."""
    done = "approved" if answer.approved else "rejected"
    who = "by a signed request (no person is known)" if answer.through == THROUGH_API else f"by {answer.by}"
    return Result(
        run_id=order.run_id,
        order_num=order.order_num,
        status=OrderState.SUCCEEDED if answer.approved else OrderState.FAILED,
        reported_by=Reporter.APPROVER,
        reason=f"{done} {who} at {answer.at:%Y-%m-%d %H:%M:%S} UTC"[:1024],
        ended_at=answer.at,
        answer=answer,
    )


def expired_result(order: OrderRow, now: datetime) -> Result:
    """Return the result of an order that nobody answered in time."""
    until = order.order_deadline or now
    return Result(
        run_id=order.run_id,
        order_num=order.order_num,
        status=OrderState.TIMED_OUT,
        reported_by=Reporter.ORCHESTRATOR,
        reason=f"nobody answered until {until:%Y-%m-%d %H:%M} UTC, when the approval expired; {LONGER}",
        ended_at=now,
    )


def unasked_result(order: OrderRow, by_num: Mapping[str, OrderRow], now: datetime) -> Result:
    """Return the result of an approval that has nothing to override."""
    numbers = order.approval.overrides if order.approval is not None else ()
    names = [by_num[num].order_name for num in numbers if num in by_num]
    more = f" and {len(names) - _MOST_FAILED} more" if len(names) > _MOST_FAILED else ""
    return Result(
        run_id=order.run_id,
        order_num=order.order_num,
        status=OrderState.SUCCEEDED,
        reported_by=Reporter.ORCHESTRATOR,
        reason=f"nothing to override: {', '.join(names[:_MOST_FAILED])}{more} succeeded",
        ended_at=now,
    )


def result_key(order: OrderRow) -> str:
    """Return the key of an order's result, or of its answer if it waits for an approval."""
    if order.approval is not None:
        return keys.answer(order.run_id, order.order_num)
    return keys.result(*order.attempt_key)
