"""Reads and creates claims: the proof that no worker will begin an order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from iac_ci_common import keys
from iac_ci_common.errors import AlreadyExists, NotFound
from iac_ci_common.models.result import Claim, Reporter

if TYPE_CHECKING:
    from iac_ci_watchdog.ports import WatchdogPorts


def read_claim(ports: WatchdogPorts, run_id: str, order_num: str) -> Claim | None:
    """Return an order's claim, None if there is none or it is not readable; raise the bucket's other errors."""
    try:
        return Claim.model_validate_json(ports.objects.get(keys.claim(run_id, order_num)))
    except (NotFound, ValidationError):
        return None


def take_claim(ports: WatchdogPorts, run_id: str, order_num: str) -> bool:
    """Create an order's claim, so that no worker can any more; return False if it exists already."""
    claim = Claim(run_id=run_id, order_num=order_num, claimed_by=Reporter.WATCHDOG, claimed_at=ports.clock.now())
    try:
        ports.objects.create(
            keys.claim(run_id, order_num), claim.model_dump_json().encode(), content_type="application/json"
        )
    except AlreadyExists:
        return False
    return True
