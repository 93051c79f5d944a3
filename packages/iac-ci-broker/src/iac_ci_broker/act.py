"""Reads what is known of a trade's order, decides, moves the chain and signs URLs."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_broker.decide import Known, Refuse, Serve, decide
from iac_ci_common import keys
from iac_ci_common.errors import IacCiError, NotFound, Throttled
from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.limits import EVENT_RETENTION_SECONDS
from iac_ci_common.models.event import Event
from iac_ci_common.models.result import Claim
from iac_ci_common.models.trade import TradeAnswer
from iac_ci_common.work_urls import traded_urls, url_seconds

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_broker.module_tokens import ModuleTokens
    from iac_ci_broker.start import OrderStart
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.models.trade import Recipient, Trade
    from iac_ci_common.ports import Clock, Logger, Objects, Runs, TicketChains

_ATTEMPTS: Final = 3
"""How often a trade is decided if another trade moves its chain at the same time."""


@dataclass(frozen=True, slots=True)
class BrokerPorts:
    """The ports of the broker."""

    clock: Clock
    runs: Runs
    chains: TicketChains
    objects: Objects
    logger: Logger
    start: OrderStart
    modules: ModuleTokens


class Broker:
    """Trades tickets for rights of minutes."""

    def __init__(self, ports: BrokerPorts) -> None:
        """Use ``ports``."""
        self._ports = ports

    def trade(self, trade: Trade) -> TradeAnswer:
        """Answer a trade. Raises what the ports raise; the same trade may always be sent again."""
        ports = self._ports
        for _ in range(_ATTEMPTS):
            now = ports.clock.now()
            known = self._known(trade)
            decision = decide(trade, known, now)
            if isinstance(decision, Refuse):
                self._note(trade, known, decision, now)
                return TradeAnswer(refusal=decision.refusal, reason=decision.reason)
            if decision.chain is None or ports.chains.move(decision.chain, expected=decision.expected):
                return self._answer(trade, decision, now)
            # Another trade has moved the chain; if it was this one, whose answer was lost, the pair is known now.
        raise Throttled("the chain of tickets changed during the trade", run_id=trade.run_id, order_num=trade.order_num)

    def _known(self, trade: Trade) -> Known:
        ports, order_key = self._ports, (trade.run_id, trade.order_num)
        if trade.order_num == RUN_ORDER_NUM:
            return Known(None, None, None, None)
        run, order = ports.runs.find_run(trade.run_id), ports.runs.find_order(*order_key)
        claim = None
        if order is not None:
            with contextlib.suppress(NotFound):
                claim = Claim.from_stored(ports.objects.get(keys.claim(*order.attempt_key)))
        chain = ports.chains.read(*order_key, trade.dispatch)
        return Known(run, order, claim, chain)

    def _answer(self, trade: Trade, served: Serve, now: datetime) -> TradeAnswer:
        run, order = served.run, served.order
        ports = self._ports
        begun = ports.start.begin(run, order, self._taken_orders(order), now) if trade.begins else None
        credentials, no_credentials = ports.start.renew(run, order, now) if trade.renews else (None, None)
        git_tokens, no_git = ports.modules.of(order, now) if trade.reads_git else ((), None)
        recipient, no_recipient = self._recipient(run) if trade.seals else (None, None)
        return TradeAnswer(
            reason=no_recipient,
            trace_id=run.trace_id,
            attempt=order.attempt,
            timeout=order.timeout,
            stop_grace=order.stop_grace,
            not_after=order.order_deadline or run.deadline,
            urls=traded_urls(ports.objects, order, trade, seconds=url_seconds(run, order, now)),
            package_sha256=order.package_sha256,
            code_sha256=order.code_sha256,
            begun=begun,
            credentials=credentials,
            credentials_failure=no_credentials,
            git_tokens=git_tokens,
            git_failure=no_git,
            followed=run.is_followed(now),
            heartbeat_seconds=run.heartbeat_seconds(now),
            recipient=recipient,
            stop=served.stop,
            stop_soon=order.stop_is_urgent(run),
        )

    def _recipient(self, run: RunRow) -> tuple[Recipient | None, str | None]:
        """Return what the order seals for, or why there is none, for example because the stack's key is disabled.

        Raises a failure that a retry may repair.
        """
        try:
            return self._ports.start.hand_on.recipient(run), None
        except IacCiError as error:
            if error.retry_is_safe:
                raise
            return None, error.message

    def _taken_orders(self, order: OrderRow) -> list[OrderRow]:
        """Return the rows of the orders that an order takes something from."""
        rows = (self._ports.runs.find_order(order.run_id, num) for num in order.takes)
        return [row for row in rows if row is not None]

    def _note(self, trade: Trade, known: Known, refused: Refuse, now: datetime) -> None:
        """Log a refusal; the first misuse of a chain becomes an event of the order."""
        ports = self._ports
        trace = {"trace_id": known.run.trace_id} if known.run is not None else {}
        logger = ports.logger.bind(run_id=trade.run_id, order_num=trade.order_num, **trace)
        logger.warning("trade refused", refusal=refused.refusal.value, reason=refused.reason)
        if refused.misused is None or known.run is None or known.order is None:
            return
        if not ports.chains.note_misuse(refused.misused, now=now):
            return
        event = Event(
            trace_id=known.run.trace_id,
            run_id=trade.run_id,
            order_num=trade.order_num,
            order_name=known.order.order_name,
            kind="ticket_refused",
            at=now,
            reason=refused.reason,
            expires_at=now + timedelta(seconds=EVENT_RETENTION_SECONDS),
        )
        ports.runs.record([event])
