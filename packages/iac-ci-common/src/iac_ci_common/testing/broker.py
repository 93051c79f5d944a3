"""The broker in memory, for tests of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.models.trade import Refusal, TradeAnswer
from iac_ci_common.states import OPEN
from iac_ci_common.tickets import digest
from iac_ci_common.work_urls import traded_urls, url_seconds

if TYPE_CHECKING:
    from iac_ci_common.models.trade import Trade
    from iac_ci_common.ports import Clock, Objects, Runs


class MemoryBroker:
    """Trades the tickets of rows in memory. It looks at no claim: one worker has each order here."""

    def __init__(self, runs: Runs, objects: Objects, clock: Clock) -> None:
        """Serve the orders of ``runs`` with URLs of ``objects``."""
        self._runs, self._objects, self._clock = runs, objects, clock
        self._chains: dict[tuple[str, str, str], tuple[str | None, str]] = {}
        self.trades: list[Trade] = []

    def trade(self, trade: Trade) -> TradeAnswer:
        """Answer a trade."""
        self.trades.append(trade)
        run, order = self._runs.find_run(trade.run_id), self._runs.find_order(trade.run_id, trade.order_num)
        chain = (trade.run_id, trade.order_num, trade.dispatch)
        first = order.first_ticket(trade.dispatch) if order is not None else None
        if run is None or order is None or first is None:
            return TradeAnswer(refusal=Refusal.UNKNOWN, reason="the order has no such dispatch")
        old = digest(trade.ticket)
        pair = (old, trade.next_sha256)
        if self._chains.get(chain) != pair:
            if old != self._chains.get(chain, (None, first))[1] or old == trade.next_sha256:
                return TradeAnswer(refusal=Refusal.USED, reason="the ticket was used before")
            self._chains[chain] = pair
        if order.status not in OPEN or self._clock.now() > order.last_report(run):
            return TradeAnswer(refusal=Refusal.ENDED, reason="the order has ended")
        return TradeAnswer(
            trace_id=run.trace_id,
            timeout=order.timeout,
            not_after=order.order_deadline or run.deadline,
            urls=traded_urls(
                self._objects,
                order,
                seconds=url_seconds(run, order, self._clock.now()),
                log_bytes=trade.log_bytes,
                result_bytes=trade.result_bytes,
            ),
            package_sha256=order.package_sha256,
            code_sha256=order.code_sha256,
            stop=f"the run was stopped: {run.stop_reason}" if run.stop_reason else None,
        )
