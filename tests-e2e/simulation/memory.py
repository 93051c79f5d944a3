"""The tables and buckets, which remember every state they were in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import TYPE_CHECKING

from iac_ci_common.keys import ANSWER_NAME
from iac_ci_common.models.event import Event
from iac_ci_common.models.lock import Lock
from iac_ci_common.models.rows import OrderRow, RunRow
from iac_ci_common.models.trade import TicketChain
from iac_ci_common.ports import Transition
from iac_ci_common.testing import (
    MemoryGroups,
    MemoryLastWrites,
    MemoryLocks,
    MemoryObjects,
    MemoryRuns,
    MemoryTicketChains,
)
from iac_ci_triggers.testing import MemoryLedgers

if TYPE_CHECKING:
    from iac_ci_common.models.group import Group
    from iac_ci_common.ports import Clock
    from iac_ci_triggers.ledger import Ledger
    from simulation.mutations import Mutation

RowKey = tuple[str, str]


class RecordedRuns(MemoryRuns):
    """Tells ``watch`` each row that was written, with what was there before."""

    def __init__(
        self, mutation: Mutation | None, watch: Callable[[OrderRow | RunRow | None, OrderRow | RunRow], None]
    ) -> None:
        super().__init__()
        self._mutation = mutation
        self._watch = watch
        self.cancelled: Callable[[str], None] = lambda run_id: None
        self.stop_asked: Callable[[str, str | None], None] = lambda run_id, order_num: None
        self.stop_hastened: Callable[[str, str | None], None] = lambda run_id, order_num: None

    def insert(self, run: RunRow, orders: Sequence[OrderRow], events: Sequence[Event]) -> bool:
        """Insert what is not there yet."""
        if self._mutation == "idempotent second leg":
            for row in (*orders, run):
                self._watch(self._row(row), row)
            self.order_rows[run.run_id] = {order.order_num: order for order in orders}
            self.record(events)
            self.run_rows[run.run_id] = run
            return True
        for order in orders:
            self.insert_order(order)
        self.record(events)
        return self.insert_run(run)

    def insert_order(self, order: OrderRow) -> None:
        """Insert one order's row, unless it is there."""
        if self._row(order) is None:
            self._watch(None, order)
            self.order_rows.setdefault(order.run_id, {})[order.order_num] = order

    def insert_run(self, run: RunRow) -> bool:
        """Insert the run's row, unless it is there."""
        if self._row(run) is not None:
            return False
        self._watch(None, run)
        self.run_rows[run.run_id] = run
        return True

    def request_cancel(self, run_id: str, reason: str) -> None:
        """Cancel a run."""
        super().request_cancel(run_id, reason)
        self.cancelled(run_id)

    def request_stop(self, run_id: str, reason: str, *, order_num: str | None = None, soon: bool = False) -> None:
        """Ask the commands of a run, or of one of its orders, to stop."""
        super().request_stop(run_id, reason, order_num=order_num, soon=soon)
        self.stop_asked(run_id, order_num)
        if soon:
            self.stop_hastened(run_id, order_num)

    def _apply(self, transition: Transition) -> bool:
        before = self._row(transition.before)
        if self._mutation == "conditional transitions" and before is not None:
            transition = Transition(before, transition.after, transition.event)
        if not super()._apply(transition):
            return False
        self._watch(before, transition.after)
        return True

    def _row(self, row: OrderRow | RunRow) -> OrderRow | RunRow | None:
        if isinstance(row, RunRow):
            return self.run_rows.get(row.run_id)
        return self.order_rows.get(row.run_id, {}).get(row.order_num)


class RecordedLocks(MemoryLocks):
    """Locks whose safety can be switched off."""

    def __init__(self, mutation: Mutation | None) -> None:
        super().__init__()
        self._mutation = mutation

    def ring(
        self,
        run_id: str,
        pending: AbstractSet[str],
        *,
        owner: str,
        now: datetime,
        lease_seconds: int,
        expires_at: datetime,
    ) -> Lock:
        """Count one more event."""
        before = self.locks.get(run_id)
        lock = super().ring(run_id, pending, owner=owner, now=now, lease_seconds=lease_seconds, expires_at=expires_at)
        if self._mutation == "doorbell" and before is not None and before.owner is not None:
            self.locks[run_id] = lock = before
        return lock

    def release(self, lock: Lock) -> Lock | None:
        """Let go unless it rang."""
        if self._mutation == "conditional release":
            lock = lock.model_copy(update={"doorbell": self._owned(lock).doorbell})
        return super().release(lock)


class RecordedLastWrites(MemoryLastWrites):
    """Last writes whose condition on the doorbell can be switched off."""

    def __init__(self, runs: RecordedRuns, locks: RecordedLocks, mutation: Mutation | None) -> None:
        super().__init__(runs, locks)
        self._mutation = mutation

    def write(self, transitions: Sequence[Transition], lock: Lock, *, unless_cancelled: bool = False) -> bool:
        """Write and release, unless it rang."""
        rung = self._locks.read(lock.run_id)
        if self._mutation != "no event is lost by last writes" or rung is None:
            return super().write(transitions, lock, unless_cancelled=unless_cancelled)
        self._locks.locks[lock.run_id] = rung.model_copy(update={"doorbell": lock.doorbell})
        written = super().write(transitions, lock, unless_cancelled=unless_cancelled)
        now = self._locks.locks[lock.run_id]
        self._locks.locks[lock.run_id] = now.model_copy(update={"doorbell": rung.doorbell})
        return written


class RecordedGroups(MemoryGroups):
    """Groups whose writes are watched and whose condition can be switched off."""

    def __init__(self, clock: Clock, mutation: Mutation | None) -> None:
        super().__init__(clock)
        self._mutation = mutation
        self.written: Callable[[Group | None, Group], None] = lambda before, after: None

    def write(self, group: Group) -> Group:
        """Write the next version of a group's row."""
        before = self.groups.get(group.key)
        if self._mutation == "conditional write of a group" and before is not None:
            group = group.model_copy(update={"version": before.version})
        written = super().write(group)
        self.written(before, written)
        return written


class RecordedLedgers(MemoryLedgers):
    """Ledgers of events whose condition can be switched off."""

    def __init__(self, clock: Clock, mutation: Mutation | None) -> None:
        super().__init__(clock)
        self._mutation = mutation

    def write(self, ledger: Ledger) -> Ledger:
        """Write the next version of a ledger."""
        current = self.read(ledger.key)
        if self._mutation == "conditional write of a ledger" and current is not None:
            ledger = ledger.model_copy(update={"version": current.version})
        return super().write(ledger)


class RecordedChains(MemoryTicketChains):
    """Chains of tickets whose safety can be switched off."""

    def __init__(self, mutation: Mutation | None) -> None:
        super().__init__()
        self._mutation = mutation

    def move(self, chain: TicketChain, *, expected: str | None) -> bool:
        """Move a chain, on the condition that it is as expected."""
        if self._mutation == "conditional move of a chain":
            stored = self.read(chain.run_id, chain.order_num, chain.dispatch)
            expected = stored.present if stored is not None else None
        return super().move(chain, expected=expected)

    def note_misuse(self, chain: TicketChain, *, now: datetime) -> bool:
        """Note a misuse, once."""
        return super().note_misuse(chain, now=now) or self._mutation == "misuse is noted once"


class RecordedObjects(MemoryObjects):
    """A bucket that remembers every body that each key ever had."""

    def __init__(
        self, clock: object, mutation: Mutation | None, on_create: Callable[[str], None] | None = None
    ) -> None:
        super().__init__(clock, on_create)  # type: ignore[arg-type]
        self._mutation = mutation
        self.bodies: dict[str, list[bytes]] = defaultdict(list)

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Write or overwrite an object."""
        self.bodies[key].append(bytes(body))
        super().put(key, body, content_type=content_type)

    def create(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Write an object that must not exist."""
        off = {"claim": "/claim.json", "create-once result": "/result.json", "create-once answer": f"/{ANSWER_NAME}"}
        if self._mutation in off and key.endswith(off[self._mutation]):
            self.put(key, body, content_type=content_type)
        else:
            super().create(key, body, content_type=content_type)
