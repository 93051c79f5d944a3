"""The tick: the task of init that only the stack's own rule starts, every 15 minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iac_ci_common import keys
from iac_ci_common.errors import NotFound, StoredUnreadable
from iac_ci_common.models.tick import TickPosition
from iac_ci_common.tick import rule_of
from iac_ci_init.chores import run_round

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from iac_ci_common.ports import Clock, Logger, Objects
    from iac_ci_init.chores import Chore


@dataclass(frozen=True, slots=True)
class TickPorts:
    """The ports for a tick."""

    clock: Clock
    objects: Objects
    logger: Logger


class Tick:
    """Runs the regular tasks. Ticks may come twice, late, or at the same time."""

    def __init__(
        self, ports: TickPorts, rule_arn: str, chores: Sequence[Chore], punctual: Sequence[Callable[[], int]] = ()
    ) -> None:
        """Use ``ports``; only events of the rule ``rule_arn`` are accepted. ``punctual`` is done first at each tick."""
        self._ports = ports
        self._rule_arn = rule_arn
        self._chores = tuple(chores)
        self._punctual = tuple(punctual)

    def run(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Run the regular tasks within their budget; refuse the event of another rule."""
        ports = self._ports
        if not self._rule_arn or rule_of(event) != self._rule_arn:
            ports.logger.warning("tick refused: it is not of the stack's rule", rule=str(rule_of(event))[:300])
            return {"accepted": False}
        for start in self._punctual:
            start()
        done = run_round(self._chores, self._position(), clock=ports.clock, logger=ports.logger, begin=self._remember)
        return {"accepted": True, "begun": len(done.begun), "requests": done.requests}

    def _position(self) -> str | None:
        try:
            return TickPosition.from_stored(self._ports.objects.get(keys.tick_position())).after
        except (NotFound, StoredUnreadable):
            # Without a position the round begins at its first task.
            return None

    def _remember(self, label: str) -> None:
        position = TickPosition(after=label).model_dump_json().encode()
        self._ports.objects.put(keys.tick_position(), position, content_type="application/json")
