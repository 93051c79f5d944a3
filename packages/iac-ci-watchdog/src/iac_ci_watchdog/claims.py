"""Reads and creates claims: the proof that no worker will begin an order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from iac_ci_common import keys
from iac_ci_common.errors import AlreadyExists, NotFound
from iac_ci_common.models.result import Claim, Reporter

if TYPE_CHECKING:
    from iac_ci_common.models.rows import OrderRow
    from iac_ci_watchdog.ports import WatchdogPorts


def read_claim(ports: WatchdogPorts, run_id: str, order_num: str, attempt: int) -> Claim | None:
    """Return the claim of an attempt, None if there is none or it is not readable; raise the bucket's other errors."""
    try:
        return Claim.model_validate_json(ports.objects.get(keys.claim(run_id, order_num, attempt)))
    except (NotFound, ValidationError):
        return None


def take_claim(ports: WatchdogPorts, order: OrderRow) -> bool:
    """Create the claim of an order's attempt, so that no worker can any more; return False if it exists already."""
    now = ports.clock.now()
    claim = Claim(run_id=order.run_id, order_num=order.order_num, claimed_by=Reporter.WATCHDOG, claimed_at=now)
    try:
        ports.objects.create(
            keys.claim(*order.attempt_key), claim.model_dump_json().encode(), content_type="application/json"
        )
    except AlreadyExists:
        return False
    return True
