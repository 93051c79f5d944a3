"""A person who may read a build's variables, and shows the tickets that are in them."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import Any

from iac_ci_common.errors import IacCiError
from iac_ci_common.models.trade import Trade, TradeAnswer
from iac_ci_common.models.work import BuildOrder
from iac_ci_common.tickets import digest
from simulation.checks import Checks
from simulation.world import BrokerService, World


class Thief:
    """Passes every trade on to the checks, shows some traded tickets again, and some of builds before they do."""

    def __init__(self, world: World, checks: Checks, random: Random, *, replays: float, early_begins: float) -> None:
        self._world, self._checks, self._random = world, checks, random
        self._replays, self._early_begins = replays, early_begins

    def traded(self, trade: Trade, answer: TradeAnswer, begun: Any) -> None:
        """See one trade that the broker has answered."""
        self._checks.traded(trade, answer, begun)
        served = answer.refusal is None
        if not served or not self._replays or self._random.random() >= self._replays:
            return
        self._steal(trade)

    def build_started(self, order: BuildOrder, build_id: str) -> None:
        """See a build that was started, with its variables and its id."""
        if not self._early_begins or self._random.random() >= self._early_begins:
            return
        self._steal(
            Trade(
                run_id=order.run_id,
                order_num=order.order_num,
                dispatch=order.dispatch,
                ticket=order.ticket,
                next_sha256=digest(""),
                execution=build_id,
                begins=True,
            )
        )

    def _steal(self, trade: Trade) -> None:
        """Show the ticket of a trade some time later, with a next ticket of the person's own."""
        stolen = trade.model_copy(update={"next_sha256": digest(f"{self._random.getrandbits(256):064x}")})
        about = f"{trade.run_id}/{trade.order_num}"
        self._world.run_function(
            "thief",
            about,
            lambda: self._show(stolen),
            lambda process: None,
            delay=self._random.choice((0.01, self._random.uniform(0.0, 90.0))),
            limit=60.0,
        )

    def _show(self, stolen: Trade) -> None:
        with suppress(IacCiError):
            BrokerService(self._world).trade(stolen)
