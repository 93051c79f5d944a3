"""The fixed seeds of CI, some fresh ones, and worlds that hypothesis makes small where one breaks a promise.

``IAC_CI_SEEDS`` is the number of fixed seeds; a tenth as many fresh ones are played with them.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulation.faults import PROFILES
from simulation.generator import draw_world
from simulation.simulate import Outcome, play, simulate

FIXED_SEEDS = int(os.environ.get("IAC_CI_SEEDS", "100"))
FRESH_SEEDS = FIXED_SEEDS // 10
CHUNK = 25
"""Seeds of one test: few enough that a test takes seconds, not minutes."""


def told(outcome: Outcome) -> str:
    """Return what broke and how to see it again."""
    replay = f"uv run python tests-e2e/simulate.py --seed {outcome.seed} --trace"
    return f"\n{outcome}\nsee it again: {replay}"


@pytest.mark.parametrize("first", range(0, FIXED_SEEDS, CHUNK))
def test_no_promise_is_broken(first: int) -> None:
    for seed in range(first, min(first + CHUNK, FIXED_SEEDS)):
        outcome = simulate(seed)
        assert not outcome.violations, told(outcome)


@pytest.mark.parametrize("seed", [332, 853, 3163, 3333, 6581, 7634, 8691, 10113, 12321, 13786, 18021])
def test_seeds_that_found_a_fault_find_it_no_more(seed: int) -> None:
    """Play the worlds in which these faults were found.

    332: results of two attempts of one order came while one invocation was at work, and were one event.
    853: a function that AWS started late did not know that its order had been asked to stop.
    3163: a process that stood still entered an apply again whose end was entered already.
    3333 and 6581: two runs of one second superseded each other on and on.
    7634 and 18021: a process that stood still took a group for orders that another one had ended.
    8691: a process that stood still entered an apply that had been ended before it began.
    10113: a watchdog died after it had queued an order again, and the next ones took what they knew for the rows.
    12321: a function that AWS started after its order was dispatched again had the claim, and its death was not heard.
    13786: orders of a run were refused by their group, and the next ones did not ask in the slots that these left.
    """
    outcome = simulate(seed)
    assert not outcome.violations, told(outcome)


@pytest.mark.parametrize("first", range(0, FRESH_SEEDS, CHUNK))
def test_no_promise_is_broken_with_fresh_seeds(first: int) -> None:
    for _ in range(first, min(first + CHUNK, FRESH_SEEDS)):
        outcome = simulate(1_000_000 + secrets.SystemRandom().randrange(2**40))
        assert not outcome.violations, told(outcome)


@pytest.mark.parametrize("size", [100, 300])
@pytest.mark.parametrize("profile", ["burst", "storm"])
def test_no_promise_is_broken_in_large_runs(size: int, profile: str) -> None:
    outcome = simulate(size, size=size, profile=profile)
    assert outcome.orders == size
    assert not outcome.violations, f"{outcome}\n--seed {size} --size {size} --profile {profile}"


def test_a_seed_plays_the_same_whatever_the_hash_seed() -> None:
    program = (
        "import hashlib\nfrom simulation.simulate import simulate\n"
        "print(hashlib.sha256('\\n'.join(simulate(7, profile='storm', trace=True).trace).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parent.parent)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    trace = simulate(7, profile="storm", trace=True).trace
    assert trace
    digests.add(hashlib.sha256("\n".join(trace).encode()).hexdigest())
    assert len(digests) == 1


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(random=st.randoms(use_true_random=False), size=st.integers(1, 12))
@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_no_promise_is_broken_in_any_world(profile: str, random: Random, size: int) -> None:
    """Hypothesis draws the same worlds as a seed does, and makes the one that breaks a promise small."""
    plan = draw_world(random, size=size, profile=profile)
    outcome = play(plan)
    assert not outcome.violations, f"{outcome}\n{plan}"


def test_a_plan_plays_the_same_twice() -> None:
    plan = draw_world(Random(7), size=5, profile="storm")
    first, second = play(plan, trace=True), play(plan, trace=True)
    assert first.trace
    assert first.trace == second.trace
