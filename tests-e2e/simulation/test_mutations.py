"""A simulator that cannot fail proves nothing: with any safety rule switched off, seeds must show it."""

from __future__ import annotations

import warnings
from functools import cache
from itertools import chain

import pytest

from simulation.mutations import FIRST_NOTICED, MUTATIONS, Mutation
from simulation.simulate import simulate

SEARCHED = 500


@cache
def breaks_a_promise(seed: int, *, profile: str | None, size: int | None) -> bool:
    """Return whether a seed breaks a promise with every rule on: both tests ask it of most seeds."""
    return bool(simulate(seed, profile=profile, size=size).violations)


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_rule_that_is_switched_off_is_noticed(mutation: Mutation) -> None:
    recorded = FIRST_NOTICED[mutation]
    profile, size = recorded.profile, recorded.size
    for seed in chain([recorded.seed], range(SEARCHED)):
        noticed = simulate(seed, mutation=mutation, profile=profile, size=size).violations
        # A seed that breaks a promise anyway notices nothing.
        if noticed and not breaks_a_promise(seed, profile=profile, size=size):
            if seed != recorded.seed:
                warnings.warn(f"record seed {seed} for {mutation!r}: the search for it takes time", stacklevel=1)
            return
    pytest.fail(f"{SEARCHED} seeds did not notice that {mutation!r} is switched off")


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_the_seed_that_notices_breaks_no_promise_otherwise(mutation: Mutation) -> None:
    recorded = FIRST_NOTICED[mutation]
    assert not breaks_a_promise(recorded.seed, profile=recorded.profile, size=recorded.size)
