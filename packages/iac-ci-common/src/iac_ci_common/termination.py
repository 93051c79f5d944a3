"""Ends an order from outside: one whose worker will not report, or one that no worker has."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from iac_ci_common import keys
from iac_ci_common.errors import AlreadyExists, StoredUnreadable
from iac_ci_common.models.result import Claim, Reporter, Result

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import Objects, Workers
    from iac_ci_common.states import OrderState


def force_end(
    objects: Objects,
    workers: Workers,
    order: OrderRow,
    status: OrderState,
    reason: str,
    *,
    reporter: Reporter,
    now: datetime,
) -> bool:
    """Create the claim, so that the commands cannot start any more, and the result; stop the build if there is one.

    Returns False if a result existed already, which then counts. Raises what the ports raise.
    """
    claim = Claim(run_id=order.run_id, order_num=order.order_num, claimed_by=reporter, claimed_at=now)
    with contextlib.suppress(AlreadyExists):
        objects.create(
            keys.claim(*order.attempt_key), claim.model_dump_json().encode(), content_type="application/json"
        )
    result = Result(
        run_id=order.run_id,
        order_num=order.order_num,
        status=status,
        reported_by=reporter,
        reason=reason[:1024],
        started_at=order.started_at,
        ended_at=now,
    )
    written = True
    try:
        objects.create(
            keys.result(*order.attempt_key),
            result.model_dump_json().encode(),
            content_type="application/json",
        )
    except AlreadyExists:
        written = False
    if order.build_id is not None:
        workers.stop_build(order.build_id)
    return written


def end_unclaimed(
    objects: Objects,
    workers: Workers,
    order: OrderRow,
    status: OrderState,
    reason: str,
    *,
    reporter: Reporter,
    now: datetime,
) -> bool:
    """End an order that could not be dispatched, or may not start any more, unless a worker has claimed it.

    AWS may refuse a repeated dispatch of an order that an earlier dispatch has started: only the claim proves that no
    worker runs its commands, now or later. Returns False if a worker has it, which then reports. Raises what the ports
    raise.
    """
    if not prevent_start(objects, order, reporter=reporter, now=now):
        return False
    force_end(objects, workers, order, status, reason, reporter=reporter, now=now)
    return True


def prevent_start(objects: Objects, order: OrderRow, *, reporter: Reporter, now: datetime) -> bool:
    """Create the claim of the order's attempt, so that its commands cannot start any more.

    Returns False if they may have started: a worker has the claim, or the claim cannot be read. Raises what ``objects``
    raises.
    """
    key = keys.claim(*order.attempt_key)
    claim = Claim(run_id=order.run_id, order_num=order.order_num, claimed_by=reporter, claimed_at=now)
    try:
        objects.create(key, claim.model_dump_json().encode(), content_type="application/json")
    except AlreadyExists:
        # The watchdog or an earlier invocation may have created the claim and died before it went on.
        with contextlib.suppress(StoredUnreadable):
            return Claim.from_stored(objects.get(key)).claimed_by in {Reporter.WATCHDOG, Reporter.ORCHESTRATOR}
        return False
    return True
