"""Remembers the rows of runs between two events of one process, so that a pass reads no row that nobody has changed.

The lock's row lists which rows its last owners have changed: a process reads these again, and no others. The table
stays the truth: every transition is conditional, and a pass that finds one refused reads all rows again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.limits import MAX_ORDERS
from iac_ci_common.ports import RunRows
from iac_ci_common.states import OPEN, OrderState

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from iac_ci_common.models.lock import Lock
    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import Runs
    from iac_ci_orchestrator.decide import Plan

MOST_ROWS: Final = 2 * MAX_ORDERS
"""Most orders whose rows a process remembers, of all runs together: what they take of its memory is bounded."""

MOST_CHANGES: Final = 32
"""Most numbers of changed rows that a lock lists: its row stays below a kilobyte, beyond which an event costs more."""


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
        """Return the rows as of the lock that was just taken; read those that other owners have changed since.

        None if it is not known which these are, or if one of them could not be read.
        """
        changed = self.changed_since(lock)
        if not changed:
            return None if changed is None else self.rows
        read = runs.read_some(lock.run_id, changed)
        by_num = {order.order_num: order for order in read.orders}
        if changed - by_num.keys() - ({RUN_ORDER_NUM} if read.run is not None else frozenset()):
            return None
        return RunRows(
            read.run or self.rows.run, tuple(by_num.get(order.order_num, order) for order in self.rows.orders)
        )

    def changed_since(self, lock: Lock) -> frozenset[str] | None:
        """Return the numbers of the rows that others have changed, as far as the lock that was just taken lists them.

        None if it does not: an owner has died (who replaces it increments the token), a version before has released the
        lock, or too much has changed. A release writes the doorbell that it answered, and every event increments it.
        """
        if self.token != lock.token:
            return None
        if self.doorbell == lock.answered:
            return frozenset()
        listed = dict(map(_release, lock.changed_rows))
        if self.doorbell not in listed or lock.answered not in listed:
            return None
        return frozenset[str]().union(*(nums for doorbell, nums in listed.items() if doorbell > self.doorbell))


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


def with_changed_rows(lock: Lock, changed: AbstractSet[str]) -> Lock:
    """Return a lock that is about to be released, with the numbers of the rows that its owner has changed.

    What is listed has no gap: if the last release is not in the list, a new list begins.
    """
    listed = [*lock.changed_rows, f"{lock.doorbell}:{','.join(sorted(changed))}"]
    if not lock.changed_rows or _release(lock.changed_rows[-1])[0] != lock.answered:
        listed = listed[-1:]
    while sum(len(_release(entry)[1]) for entry in listed) > MOST_CHANGES:
        del listed[0]
    return lock.model_copy(update={"changed_rows": tuple(listed[-MOST_CHANGES:])})


def _release(entry: str) -> tuple[int, frozenset[str]]:
    """Return the doorbell of a release and the rows that it changed."""
    doorbell, _, nums = entry.partition(":")
    return int(doorbell), frozenset(nums.split(",")) if nums else frozenset()


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
