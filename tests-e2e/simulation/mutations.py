"""Safety rules that can be switched off, one at a time: the simulator must notice each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple, get_args
from unittest.mock import patch

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
    elif mutation == "conditional transitions":
        with patch("iac_ci_common.testing.runs.holds", lambda transition, current: True):
            yield
    else:
        yield
