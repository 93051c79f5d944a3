"""A person who may read a build's variables, and shows the traded tickets that are in them."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import Any

from iac_ci_common.errors import IacCiError
from iac_ci_common.models.trade import Trade, TradeAnswer
from iac_ci_common.tickets import digest
from simulation.checks import Checks
from simulation.world import BrokerService, World


class Thief:
    """Passes every trade on to the checks, and shows some of the tickets again."""

    def __init__(self, world: World, checks: Checks, random: Random, replays: float) -> None:
        self._world, self._checks, self._random, self._replays = world, checks, random, replays

    def traded(self, trade: Trade, answer: TradeAnswer, begun: Any) -> None:
        """See one trade that the broker has answered."""
        self._checks.traded(trade, answer, begun)
        served = answer.refusal is None
        if not served or not self._replays or self._random.random() >= self._replays:
            return
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
