"""A simulator that cannot fail proves nothing: with any safety rule switched off, seeds must show it."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest

from simulation.mutations import FIRST_NOTICED, MUTATIONS, Mutation
from simulation.simulate import simulate

SEARCHED = 500


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_rule_that_is_switched_off_is_noticed(mutation: Mutation) -> None:
    recorded = FIRST_NOTICED[mutation]
    for seed in chain([recorded.seed], range(SEARCHED)):
        world: dict[str, Any] = {"profile": recorded.profile, "size": recorded.size}
        # A seed that breaks a promise anyway notices nothing.
        if simulate(seed, mutation=mutation, **world).violations and not simulate(seed, **world).violations:
            return
    pytest.fail(f"{SEARCHED} seeds did not notice that {mutation!r} is switched off")


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_the_seed_that_notices_breaks_no_promise_otherwise(mutation: Mutation) -> None:
    recorded = FIRST_NOTICED[mutation]
    assert not simulate(recorded.seed, profile=recorded.profile, size=recorded.size).violations
