"""Safety rules that can be switched off, one at a time: the simulator must notice each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args
from unittest.mock import patch

from iac_ci_common.states import OrderState
from iac_ci_common.termination import force_end

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.result import Reporter
    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import Objects, Workers

Mutation = Literal[
    "doorbell",
    "conditional release",
    "claim",
    "create-once result",
    "redo of dispatching",
    "run's watchdog",
    "idempotent second leg",
    "conditional transitions",
    "own claims only",
    "refused dispatch",
]
MUTATIONS: tuple[Mutation, ...] = get_args(Mutation)


class Noticed(NamedTuple):
    """The first seed that notices a mutation; with ``profile``, the first that does so under that profile."""

    seed: int
    profile: str | None = None


FIRST_NOTICED: dict[Mutation, Noticed] = {
    "doorbell": Noticed(6),
    "conditional release": Noticed(6),
    "claim": Noticed(4),
    "create-once result": Noticed(65),
    "redo of dispatching": Noticed(4),
    "run's watchdog": Noticed(0),
    "idempotent second leg": Noticed(41),
    "conditional transitions": Noticed(126),
    "own claims only": Noticed(104, "storm"),
    "refused dispatch": Noticed(2251),
}
"""As ``simulate.py --mutations`` prints it. A change to what a world draws changes these; print them again then."""


@contextmanager
def switched_off(mutation: Mutation | None) -> Iterator[None]:
    """Switch a rule of the engine off; ``memory`` and ``world`` switch the rules of the services off themselves."""
    if mutation == "redo of dispatching":
        with patch("iac_ci_orchestrator.decide._is_stale", lambda order, now: False):
            yield
    elif mutation == "own claims only":
        with patch("iac_ci_watchdog.act.Watchdog._is_claimed_by_another", lambda watchdog, died: False):
            yield
    elif mutation == "refused dispatch":
        with patch("iac_ci_orchestrator.act.end_unclaimed", _end_claimed_or_not):
            yield
    elif mutation == "conditional transitions":
        with patch("iac_ci_common.testing.runs.holds", lambda transition, current: True):
            yield
    else:
        yield


def _end_claimed_or_not(
    objects: Objects, workers: Workers, order: OrderRow, reason: str, *, reporter: Reporter, now: datetime
) -> bool:
    force_end(objects, workers, order, OrderState.FAILED, reason, reporter=reporter, now=now)
    return True
