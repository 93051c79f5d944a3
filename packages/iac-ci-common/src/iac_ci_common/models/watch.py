"""Input and output of the watchdog's polls."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.limits import DEFAULT_STOP_GRACE_SECONDS, ORCHESTRATOR_SECONDS
from iac_ci_common.models.base import Moment, OrderNum, RunId, StoredShape
from iac_ci_common.models.job import ExecutionTarget
from iac_ci_common.states import OPEN, OrderState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from iac_ci_common.models.lock import Lock
    from iac_ci_common.models.rows import OrderRow


class OpenOrder(StoredShape):
    """What a poll needs of an order that is dispatching or running."""

    order_num: OrderNum
    status: OrderState
    target: ExecutionTarget
    timeout: int
    stop_grace: int | None = None
    dispatched_at: Moment | None = None
    order_deadline: Moment | None = None
    build_id: str | None = None
    attempt: int = 1

    @property
    def grace(self) -> int:
        """Return the most seconds that the commands have to end by themselves once they are asked to stop."""
        return self.stop_grace or DEFAULT_STOP_GRACE_SECONDS


class WaitingOrder(StoredShape):
    """What a poll needs of an order that waits for an approval."""

    order_num: OrderNum
    until: Moment | None = None
    answered: bool = Field(False, description="True if the answer is known and its end is not written yet.")


class KnownRows(StoredShape):
    """What one poll learned from a run's rows, for the next poll, which then need not read them again.

    Only an owner of the run's lock changes the rows, and every owner comes with a ring of the doorbell. So the rows are
    the same as long as the lock is free and the doorbell has its value of before. The exception is an order that the
    watchdog queues again: a nudge follows, and if that is lost, the poll that looks at the order finds another row and
    the next one reads all of them. It is a cache: without it, a poll reads the rows.
    """

    doorbell: int
    queued: bool = Field(description="True if an order is queued.")
    open: tuple[OpenOrder, ...]
    unstarted: int = Field(0, ge=0, description="Orders that have not started; 0 where a version before wrote it.")
    waiting: tuple[WaitingOrder, ...] = Field((), description="Orders that wait for an approval.")

    @classmethod
    def of(cls, orders: Sequence[OrderRow], lock: Lock | None) -> KnownRows:
        """Return what a poll knows that has read ``lock`` and then ``orders``."""
        return cls(
            doorbell=lock.doorbell if lock is not None else 0,
            queued=any(order.status is OrderState.QUEUED for order in orders),
            unstarted=sum(order.status in {OrderState.QUEUED, OrderState.DISPATCHING} for order in orders),
            open=tuple(
                OpenOrder(
                    order_num=order.order_num,
                    status=order.status,
                    target=order.target,
                    timeout=order.timeout,
                    stop_grace=order.stop_grace,
                    dispatched_at=order.dispatched_at,
                    order_deadline=order.order_deadline,
                    build_id=order.build_id,
                    attempt=order.attempt,
                )
                for order in orders
                if order.status in OPEN and order.approval is None
            ),
            waiting=tuple(
                WaitingOrder(order_num=order.order_num, until=order.order_deadline, answered=order.status in OPEN)
                for order in orders
                if order.approval is not None and (order.awaits_answer or order.status in OPEN)
            ),
        )

    def with_running(self, running: AbstractSet[str]) -> KnownRows:
        """Return this with the orders of these numbers as running, as the poll itself has written them."""
        if not running:
            return self
        changed = {"status": OrderState.RUNNING}
        is_open = tuple(
            order.model_copy(update=changed) if order.order_num in running else order for order in self.open
        )
        return self.model_copy(update={"open": is_open, "unstarted": max(0, self.unstarted - len(running))})

    def still_holds(self, lock: Lock | None, now: datetime) -> bool:
        """Return whether the rows are the same as when this was learned, given the run's present lock.

        An owner that died holding the lock changes nothing once its function can no longer run.
        """
        if lock is None or lock.doorbell != self.doorbell:
            return False
        longest = timedelta(seconds=ORCHESTRATOR_SECONDS)
        return lock.owner is None or (lock.lease_until is not None and now > lock.lease_until + longest)


class Watch(StoredShape):
    """Input of ``watchdog_check``.

    Another order than ``0000`` is named only by executions that a version before started: one for each order.
    """

    run_id: RunId
    order_num: OrderNum = RUN_ORDER_NUM
    state: Any = Field(None, description="The execution's own state: its input and the answer of its last poll.")

    @property
    def known(self) -> KnownRows | None:
        """What the last poll learned; None before the first one, and if another version's is not readable here."""
        answer = self.state.get("answer") if isinstance(self.state, dict) else None
        learned = answer.get("known") if isinstance(answer, dict) else None
        try:
            return KnownRows.model_validate(learned)
        except ValidationError:
            return None


class WatchAnswer(StoredShape):
    """Output of ``watchdog_check``: the state machine ends when ``ended`` is true."""

    run_id: RunId
    order_num: OrderNum
    ended: bool
    seen: str
    known: KnownRows | None = None
