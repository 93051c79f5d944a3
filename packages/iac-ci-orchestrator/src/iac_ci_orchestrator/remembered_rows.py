"""Remembers the rows of runs between two events of one process, so that a pass reads no row that nobody has changed.

The table stays the truth: every transition is conditional, and a pass that finds one refused reads all rows again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common.limits import MAX_ORDERS
from iac_ci_common.states import OPEN, OrderState

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from iac_ci_common.models.lock import Lock
    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import RunRows
    from iac_ci_orchestrator.decide import Plan

MOST_ROWS: Final = 2 * MAX_ORDERS
"""Most orders whose rows a process remembers, of all runs together: what they take of its memory is bounded."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """Rows as they were when a lock was released with this token, its doorbell at this number."""

    token: int
    doorbell: int
    rows: RunRows

    def open_orders(self, named: AbstractSet[str]) -> list[OrderRow]:
        """Return which orders of these numbers were open."""
        return [order for order in self.rows.orders if order.order_num in named and order.status in OPEN]

    def as_of(self, lock: Lock) -> RunRows | None:
        """Return the rows if they are those of the lock that was just taken.

        None if another invocation has held the lock meanwhile: a release writes the doorbell that it answered, every
        event increments the doorbell, and who replaces an owner that died increments the token.
        """
        return self.rows if (self.token, self.doorbell) == (lock.token, lock.answered) else None


class RememberedRows:
    """The rows of runs whose locks this process released last."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._entries: dict[str, Remembered] = {}

    def take(self, run_id: str) -> Remembered | None:
        """Return what is remembered of a run, None if nothing is, and forget it.

        Call it for each event: if another invocation holds the lock then, it changes the rows.
        """
        return self._entries.pop(run_id, None)

    def keep(self, lock: Lock, rows: RunRows) -> None:
        """Remember the rows of a run whose lock was just released; the oldest entries make room."""
        self._entries[lock.run_id] = Remembered(lock.token, lock.doorbell, rows)
        while sum(len(entry.rows.orders) for entry in self._entries.values()) > MOST_ROWS:
            del self._entries[next(iter(self._entries))]


def may_be_applied(plan: Plan) -> bool:
    """Return whether a plan from remembered rows may be applied; if not, the rows are read and decided again.

    Other functions write requests to stop or cancel into rows without the lock. What such a request decides needs the
    rows themselves: another attempt, the end of an order that never started, how a run with such an end has ended. A
    request to cancel is a condition of every dispatch (``Runs.apply``). What begins a run or an approval, or ends an
    approval, happens once and is decided from the rows too.
    """
    rare = (plan.start, *plan.repeats, *plan.awaits, *plan.answers, *plan.expiries)
    if any(one is not None for one in rare) or any(dispatch.after.attempt > 1 for dispatch in plan.dispatches):
        return False
    cancelled = [end for end in plan.ends if end.after.status is OrderState.CANCELLED and end.before.status not in OPEN]
    if plan.finish is not None:
        return all(order.status is not OrderState.CANCELLED for order in plan.orders)
    return not cancelled
