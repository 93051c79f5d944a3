"""Queues an order again whose worker ended before it began the order."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_common import keys
from iac_ci_common.errors import Throttled
from iac_ci_common.limits import EVENT_RETENTION_SECONDS, MAX_DISPATCHES
from iac_ci_common.models.event import Event
from iac_ci_common.nudge import nudge
from iac_ci_common.ports import Transition
from iac_ci_common.states import OPEN, OrderState

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.rows import OrderRow
    from iac_ci_watchdog.ports import WatchdogPorts

_LOOKS: Final = 3


def hand_over(ports: WatchdogPorts, order: OrderRow, reason: str) -> bool:
    """Queue an order again and return True, so that another worker gets it; return False if it has to end.

    It has to end if a worker has claimed it, if it was dispatched ``MAX_DISPATCHES`` times, or if its time is over. The
    commands cannot start twice: a worker of the old dispatch that still comes and the new one have one claim to win.
    Raises ``Throttled`` if the row changes all the time.
    """
    run = ports.runs.find_run(order.run_id)
    if run is None or _is_claimed(ports, order):
        return False
    present: OrderRow | None = order
    for _ in range(_LOOKS):
        now = ports.clock.now()
        if present is None or present.status not in OPEN or present.dispatched_at != order.dispatched_at:
            # It has ended or has another dispatch already; there is nothing left to do.
            return True
        if present.handed_over + 1 >= MAX_DISPATCHES or now >= (present.order_deadline or run.deadline):
            return False
        if not ports.runs.apply([Transition(present, _queued(present), _event(run.trace_id, present, reason, now))]):
            logger = ports.logger.bind(run_id=order.run_id, order_num=order.order_num, trace_id=run.trace_id)
            logger.warning("order queued again", reason=reason, times=present.handed_over + 1)
            nudge(ports.objects, order.run_id)
            return True
        # Its pass of the orchestrator has recorded that the worker was started.
        present = ports.runs.find_order(order.run_id, order.order_num)
    raise Throttled("the order changed at every look", run_id=order.run_id, order_num=order.order_num)


def _is_claimed(ports: WatchdogPorts, order: OrderRow) -> bool:
    return ports.objects.exists(keys.claim(*order.attempt_key))


def _queued(order: OrderRow) -> OrderRow:
    return order.model_copy(
        update={
            "status": OrderState.QUEUED,
            "handed_over": order.handed_over + 1,
            "dispatched_at": None,
            "order_deadline": None,
            "build_id": None,
            "started_at": None,
        }
    )


def _event(trace_id: str, order: OrderRow, reason: str, now: datetime) -> Event:
    return Event(
        trace_id=trace_id,
        run_id=order.run_id,
        order_num=order.order_num,
        order_name=order.order_name,
        kind=OrderState.QUEUED.value,
        at=now,
        reason=f"the worker ended before it began the order: {reason}"[:1024],
        expires_at=now + timedelta(seconds=EVENT_RETENTION_SECONDS),
    )
