"""Decides whether a failed order is repeated: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.models.result import Reporter
from iac_ci_common.states import OrderState

if TYPE_CHECKING:
    from iac_ci_common.models.result import Result
    from iac_ci_common.models.rows import OrderRow, RunRow


def is_repeated(run: RunRow, order: OrderRow, result: Result) -> bool:
    """Return whether an order has another attempt after this result of the present one.

    Its commands must have failed by themselves with an exit code that its author names. A worker that died, a time-out
    and a wish to stop repeat nothing: what the commands have done until then is not known.
    """
    if result.status is not OrderState.FAILED or result.reported_by is not Reporter.WORKER:
        return False
    if result.exit_code is None or _shell_code(result.exit_code) not in order.retry_on:
        return False
    return order.attempt < order.attempts and order.stop_wish(run) is None


def _shell_code(exit_code: int) -> int:
    """Return an exit code as a shell reports it; it is negative if a signal ended bash itself."""
    return 128 - exit_code if exit_code < 0 else exit_code


def next_attempt(order: OrderRow, result: Result) -> OrderRow:
    """Return the order queued for its next attempt, with nothing of the attempt that has ended but the reason.

    Tickets of earlier attempts are worth nothing any more.
    """
    return order.model_copy(
        update={
            "status": OrderState.QUEUED,
            "attempt": order.attempt + 1,
            "handed_over": 0,
            "tickets": (),
            "dispatched_at": None,
            "order_deadline": None,
            "started_at": None,
            "build_id": None,
            "reason": reason_of_end(order, result),
        }
    )


def reason_of_end(order: OrderRow, result: Result) -> str | None:
    """Return why an attempt ended, with its number if the order may have several."""
    if order.attempts == 1 or result.status is OrderState.SUCCEEDED:
        return result.reason
    number = f"attempt {order.attempt} of {order.attempts}"
    return f"{number}: {result.reason}"[:1024] if result.reason else number
