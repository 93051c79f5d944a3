"""A simulator that cannot fail proves nothing: with any safety rule switched off, CI's seeds must show it."""

from __future__ import annotations

import pytest

from simulation.mutations import MUTATIONS, Mutation
from simulation.simulate import simulate
from simulation.test_seeds import FIXED_SEEDS


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_rule_that_is_switched_off_is_noticed(mutation: Mutation) -> None:
    for seed in range(FIXED_SEEDS):
        if simulate(seed, mutation=mutation).violations:
            return
    pytest.fail(f"{FIXED_SEEDS} seeds did not notice that {mutation!r} is switched off")
