"""Frees a concurrency group for a person. Repeating it changes nothing."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import ConditionFailed, NotFound, PortFailed
from iac_ci_common.groups import free as without
from iac_ci_common.groups import holders
from iac_ci_common.ids import JOB_EVENT_NAME, RUN_ORDER_NUM
from iac_ci_common.limits import EVENT_RETENTION_SECONDS
from iac_ci_common.models.event import Event
from iac_ci_common.nudge import nudge
from iac_ci_common.states import OPEN

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.ports import Groups, Objects, Runs
    from iac_ci_triggers.decisions import Free

_TRIES: Final = 20


def free(groups: Groups, runs: Runs, objects: Objects, decision: Free, now: datetime) -> None:
    """Ask the commands of a holder to stop and, with a token, remove its entry; an event of its run says so."""
    if decision.order_num == RUN_ORDER_NUM:
        _stop_run(runs, decision)
    else:
        _stop(runs, decision, decision.order_num)
    if decision.token is not None:
        _record(runs, decision, now)
        _remove(groups, objects, decision.key, decision.token, now)
    nudge(objects, decision.run_id)


def _stop_run(runs: Runs, decision: Free) -> None:
    """Start no more of a run, and ask each of its running orders by itself: one request for all leaves applies."""
    with contextlib.suppress(ConditionFailed, NotFound):
        runs.request_cancel(decision.run_id, decision.reason)
    # Read after the request: what starts no more is not among them.
    for order in runs.read(decision.run_id).orders:
        if order.status in OPEN:
            _stop(runs, decision, order.order_num)


def _stop(runs: Runs, decision: Free, order_num: str) -> None:
    with contextlib.suppress(ConditionFailed, NotFound):
        runs.request_stop(decision.run_id, decision.reason, order_num=order_num)


def _remove(groups: Groups, objects: Objects, key: str, token: int, now: datetime) -> None:
    for _ in range(_TRIES):
        before = groups.read([key]).get(key)
        if before is None:
            return
        after = without(before, [token], now)
        try:
            if after is not before:
                groups.write(after)
        except ConditionFailed:
            continue
        for run_id in dict.fromkeys(entry.run_id for entry in holders(after)):
            nudge(objects, run_id)
        return
    raise PortFailed("runs changed the concurrency group at every attempt", retry_is_safe=True)


def _record(runs: Runs, decision: Free, now: datetime) -> None:
    rows = runs.read(decision.run_id)
    order = next((one for one in rows.orders if one.order_num == decision.order_num), None)
    if rows.run is not None:
        event = Event(
            trace_id=rows.run.trace_id,
            run_id=decision.run_id,
            order_num=decision.order_num,
            order_name=order.order_name if order is not None else JOB_EVENT_NAME,
            kind="group_freed",
            at=now,
            reason=f"{decision.reason} before the end",
            expires_at=now + timedelta(seconds=EVENT_RETENTION_SECONDS),
        )
        runs.record([event])
