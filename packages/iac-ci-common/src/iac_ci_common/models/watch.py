"""Input and output of the watchdog's polls."""

from __future__ import annotations

from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.models.base import OrderNum, RunId, StoredShape


class Watch(StoredShape):
    """Input of ``watchdog_check``; order ``0000`` is the run itself."""

    run_id: RunId
    order_num: OrderNum = RUN_ORDER_NUM


class WatchAnswer(StoredShape):
    """Output of ``watchdog_check``: the state machine ends when ``ended`` is true."""

    run_id: RunId
    order_num: OrderNum
    ended: bool
    seen: str
