"""The tables orders and order_events, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.errors import ConditionFailed, NotFound
from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.models.rows import RunRow
from iac_ci_common.ports import RunRows, Transition
from iac_ci_common.states import RUN_TERMINAL, TERMINAL, OrderState
from iac_ci_common.transitions import check_transition, holds

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from iac_ci_common.models.event import Event
    from iac_ci_common.models.rows import OrderRow


class MemoryRuns:
    """Rows and events as dictionaries of frozen models."""

    def __init__(self) -> None:
        """Start empty."""
        self.run_rows: dict[str, RunRow] = {}
        self.order_rows: dict[str, dict[str, OrderRow]] = {}
        self.event_rows: dict[tuple[str, str], Event] = {}

    def read(self, run_id: str) -> RunRows:
        """Return the rows of the run and all its orders."""
        orders = self.order_rows.get(run_id, {})
        return RunRows(self.run_rows.get(run_id), tuple(orders[num] for num in sorted(orders)))

    def read_some(self, run_id: str, order_nums: Collection[str]) -> RunRows:
        """Return the rows with these numbers."""
        whole = MemoryRuns.read(self, run_id)
        run = whole.run if RUN_ORDER_NUM in order_nums else None
        return RunRows(run, tuple(order for order in whole.orders if order.order_num in order_nums))

    def find_run(self, run_id: str) -> RunRow | None:
        """Return the run's own row."""
        return self.run_rows.get(run_id)

    def find_order(self, run_id: str, order_num: str) -> OrderRow | None:
        """Return one order's row."""
        return self.order_rows.get(run_id, {}).get(order_num)

    def next_watchdog(self, run_id: str, ended: int) -> int:
        """Write the next number if the row still has ``ended``; return the number that counts."""
        run = self.run_rows.get(run_id)
        if run is None:
            return ended + 1
        if run.watchdog == ended:
            run = self.run_rows[run_id] = run.model_copy(update={"watchdog": ended + 1})
        return run.watchdog

    def insert(self, run: RunRow, orders: Sequence[OrderRow], events: Sequence[Event]) -> bool:
        """Insert the rows that do not exist yet; the run's row last."""
        if run.run_id in self.run_rows:
            return False
        rows = self.order_rows.setdefault(run.run_id, {})
        for order in orders:
            there = rows.setdefault(order.order_num, order)
            if there.package_sha256 is None and there.code_sha256 is None and there.status is OrderState.QUEUED:
                digests = {"package_sha256": order.package_sha256, "code_sha256": order.code_sha256}
                rows[order.order_num] = there.model_copy(update=digests)
        self.record(events)
        self.run_rows[run.run_id] = run
        return True

    def apply(
        self, transitions: Sequence[Transition], *, whole: bool = False, unless_cancelled: bool = False
    ) -> tuple[Transition, ...]:
        """Apply the transitions whose row is still as planned, with ``whole`` all or none; return the others."""
        for transition in transitions:
            check_transition(transition)
        if unless_cancelled and any(self._is_cancelled(transition.before.run_id) for transition in transitions):
            return tuple(transitions)
        if whole and not all(self._fits(transition) for transition in transitions):
            return tuple(transitions)
        return tuple(transition for transition in transitions if not self._apply(transition))

    def record(self, events: Sequence[Event]) -> None:
        """Write events that belong to no transition."""
        for event in events:
            self.event_rows[(event.trace_id, event.sort)] = event

    def events(self, trace_id: str) -> list[Event]:
        """Return a run's events in the order of time."""
        return sorted(
            (event for (trace, _), event in self.event_rows.items() if trace == trace_id),
            key=lambda event: (event.epoch_ms, event.sort),
        )

    def events_named(self, order_name: str, since: datetime) -> list[Event]:
        """Return the events of this name since a moment, the newest first."""
        found = [event for event in self.event_rows.values() if event.order_name == order_name and event.at >= since]
        return sorted(found, key=lambda event: event.epoch_ms, reverse=True)

    def request_cancel(self, run_id: str, reason: str) -> None:
        """Set ``cancel_reason`` on a run that has no other and has not ended."""
        run = self.run_rows.get(run_id)
        if run is None:
            raise NotFound(f"run {run_id} does not exist", run_id=run_id)
        if run.cancel_reason not in {None, reason} or run.status in RUN_TERMINAL:
            raise ConditionFailed("the run has ended or is already being cancelled", run_id=run_id)
        self.run_rows[run_id] = run.model_copy(update={"cancel_reason": reason})

    def follow(self, run_id: str, until: datetime, *, output: bool = True) -> None:
        """Set ``followed_until``, without ``output`` ``waited_until``, on a run that has not ended."""
        run = self.run_rows.get(run_id)
        if run is None:
            raise NotFound(f"run {run_id} does not exist", run_id=run_id)
        if run.status in RUN_TERMINAL:
            raise ConditionFailed("the run has ended", run_id=run_id)
        self.run_rows[run_id] = run.model_copy(update={"followed_until" if output else "waited_until": until})

    def request_stop(self, run_id: str, reason: str, *, order_num: str | None = None, soon: bool = False) -> None:
        """Set ``stop_reason`` on a run or an order that has not ended; the first reason stays."""
        row = self.run_rows.get(run_id) if order_num is None else self.order_rows.get(run_id, {}).get(order_num)
        if row is None:
            raise NotFound(f"run {run_id} or its order does not exist", run_id=run_id)
        if row.status in RUN_TERMINAL or row.status in TERMINAL:
            raise ConditionFailed("the run or order has ended", run_id=run_id)
        stopped = row.model_copy(update={"stop_reason": row.stop_reason or reason, "stop_soon": row.stop_soon or soon})
        if isinstance(stopped, RunRow):
            self.run_rows[run_id] = stopped
        else:
            self.order_rows[run_id][stopped.order_num] = stopped

    def _is_cancelled(self, run_id: str) -> bool:
        run = self.run_rows.get(run_id)
        return run is None or run.cancel_reason is not None

    def _fits(self, transition: Transition) -> bool:
        row = self._present(transition)
        return row is not None and holds(transition, row)

    def _present(self, transition: Transition) -> OrderRow | RunRow | None:
        run_id, order_num = transition.before.run_id, transition.before.order_num
        return self.find_run(run_id) if order_num == RUN_ORDER_NUM else self.find_order(run_id, order_num)

    def _apply(self, transition: Transition) -> bool:
        row = self._present(transition)
        if row is None or not holds(transition, row):
            return False
        after = row.model_copy(update=_changed(transition))
        if isinstance(after, RunRow):
            self.run_rows[after.run_id] = after
        else:
            self.order_rows[after.run_id][after.order_num] = after
        if transition.event is not None:
            self.record([transition.event])
        return True


def _changed(transition: Transition) -> dict[str, object]:
    """Return only what the transition changes: the rest may have been written since the row was read, and stays."""
    before, after = dict(transition.before), dict(transition.after)
    return {name: value for name, value in after.items() if name not in before or before[name] != value}
