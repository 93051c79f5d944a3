"""The fixed seeds of CI, some fresh ones, and random graphs that hypothesis makes small where one breaks a promise."""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulation.faults import PROFILES
from simulation.graphs import Behaviour, Story
from simulation.simulate import Outcome, simulate

FIXED_SEEDS = 2000
FRESH_SEEDS = 200
CHUNK = 100


def told(outcome: Outcome) -> str:
    """Return what broke and how to see it again."""
    replay = f"uv run python tests-e2e/simulate.py --seed {outcome.seed} --trace"
    return f"\n{outcome}\nsee it again: {replay}"


@pytest.mark.parametrize("first", range(0, FIXED_SEEDS, CHUNK))
def test_no_promise_is_broken(first: int) -> None:
    for seed in range(first, first + CHUNK):
        outcome = simulate(seed)
        assert not outcome.violations, told(outcome)


@pytest.mark.parametrize("part", range(2))
def test_no_promise_is_broken_with_fresh_seeds(part: int) -> None:
    for _ in range(FRESH_SEEDS // 2):
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


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Make any small graph whose dependencies point backwards, so that it has no cycle."""
    count = draw(st.integers(1, 12))
    orders, behaviours = [], {}
    for index in range(count):
        parents = draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set()
        orders.append(
            {
                "order_name": f"order-{index}",
                "cmds": ["true"],
                "timeout": draw(st.sampled_from([5, 60])),
                "dependencies": sorted(f"order-{parent}" for parent in parents),
                "must_succeed": draw(st.booleans()),
                "execution_target": draw(st.sampled_from(["lambda", "codebuild"])),
            }
        )
        behaviours[f"{index + 1:04d}"] = Behaviour(
            seconds=draw(st.sampled_from([0.0, 1.0, 50.0])),
            exit_code=draw(st.sampled_from([0, 0, 1])),
            hangs=draw(st.booleans()) and draw(st.booleans()),
            kills_worker=draw(st.booleans()) and draw(st.booleans()),
        )
    job = {"username": "simulation", "job_timeout": draw(st.sampled_from([120, 900])), "orders": orders}
    if draw(st.booleans()):
        job["max_parallel"] = draw(st.integers(1, 4))
    return Story(job, behaviours)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(story=stories(), profile=st.sampled_from(sorted(PROFILES)), seed=st.integers(0, 2**32))
def test_no_promise_is_broken_on_any_graph(story: Story, profile: str, seed: int) -> None:
    outcome = simulate(seed, story=story, profile=profile)
    assert not outcome.violations, f"{outcome}\n{story}"
