"""Remembers the rows of runs between two events of one process, so that a pass reads no row that nobody has changed.

The lock's row lists which rows its last owners have changed and, as far as there is room, what became of them: a
process reads only what the lock does not contain. The table stays the truth: every transition is conditional, and a
pass that finds one refused reads all rows again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.limits import MAX_ORDERS
from iac_ci_common.ports import RunRows
from iac_ci_common.states import OPEN, OrderState
from iac_ci_orchestrator.changed_rows import joined, releases_since, with_values

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from iac_ci_common.models.lock import Lock
    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import Runs
    from iac_ci_orchestrator.decide import Plan

MOST_ROWS: Final = 2 * MAX_ORDERS
"""Most orders whose rows a process remembers, of all runs together: what they take of its memory is bounded."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """Rows as they were when a lock was released with this token, its doorbell at this number.

    ``is_last`` is False if another invocation is known to have taken the lock since.
    """

    token: int
    doorbell: int
    rows: RunRows
    is_last: bool = True

    def expected(self, named: AbstractSet[str]) -> list[OrderRow]:
        """Return which orders of these numbers were open; none if another invocation may read their results."""
        if not self.is_last:
            return []
        return [order for order in self.rows.orders if order.order_num in named and order.status in OPEN]

    def as_of(self, lock: Lock, runs: Runs) -> RunRows | None:
        """Return the rows as of the lock that was just taken; read those of whose changes the lock tells too little.

        None if it is not known what others have changed, or if a row could not be read. An owner that died may have
        changed what no lock lists; who replaces it increments the token.
        """
        releases = releases_since(lock, self.doorbell) if self.token == lock.token else None
        if not releases:
            return None if releases is None else self.rows
        unknown = frozenset[str]().union(*(release.nums for release in releases if release.values is None))
        read = runs.read_some(lock.run_id, unknown) if unknown else RunRows(None, ())
        by_num = {order.order_num: order for order in read.orders}
        if unknown - by_num.keys() - ({RUN_ORDER_NUM} if read.run is not None else frozenset()):
            return None
        values = joined(releases)
        run = read.run or (self.rows.run and with_values(self.rows.run, values))
        return RunRows(
            run, tuple(by_num.get(order.order_num) or with_values(order, values) for order in self.rows.orders)
        )


class RememberedRows:
    """The rows of runs whose locks this process released last."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._entries: dict[str, Remembered] = {}

    def take(self, run_id: str) -> Remembered | None:
        """Return what is remembered of a run, None if nothing is, and forget it."""
        return self._entries.pop(run_id, None)

    def keep(self, lock: Lock, rows: RunRows) -> None:
        """Remember the rows of a run whose lock was just released."""
        self._keep(lock.run_id, Remembered(lock.token, lock.doorbell, rows))

    def put_back(self, run_id: str, remembered: Remembered) -> None:
        """Remember rows again that were taken for nothing: another invocation holds the lock."""
        self._keep(run_id, replace(remembered, is_last=False))

    def _keep(self, run_id: str, remembered: Remembered) -> None:
        """Remember rows; the oldest entries make room."""
        self._entries[run_id] = remembered
        while sum(len(entry.rows.orders) for entry in self._entries.values()) > MOST_ROWS:
            del self._entries[next(iter(self._entries))]


def may_be_applied(plan: Plan) -> bool:
    """Return whether a plan from remembered rows may be applied; if not, the rows are read and decided again.

    Other functions write requests to stop or cancel into rows without the lock. What such a request decides needs the
    rows themselves: another attempt or worker, the end of an order that never started, how a run with such an end has
    ended. A request to cancel is a condition of every dispatch (``Runs.apply``). What begins a run or an approval, or
    ends an approval, happens once and is decided from the rows too.
    """
    rare = (plan.start, *plan.repeats, *plan.awaits, *plan.answers, *plan.expiries)
    again = any(dispatch.after.attempt > 1 or dispatch.after.handed_over for dispatch in plan.dispatches)
    if again or any(one is not None for one in rare):
        return False
    cancelled = [end for end in plan.ends if end.after.status is OrderState.CANCELLED and end.before.status not in OPEN]
    if plan.finish is not None:
        return all(order.status is not OrderState.CANCELLED for order in plan.orders)
    return not cancelled
