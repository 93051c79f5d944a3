"""Play seeds of the simulator: ``uv run --no-sync python tests-e2e/simulate.py --seed 42 --trace``."""

from __future__ import annotations

import argparse
import collections
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import NamedTuple

from simulation.faults import PROFILES
from simulation.mutations import FIRST_NOTICED, MUTATIONS, Mutation
from simulation.simulate import simulate

CHUNK = 20
"""Seeds that a process plays before it reports."""

TOO_MANY = 5
"""So many broken seeds end the play."""


class Played(NamedTuple):
    """What came of some seeds: numbers, and for each broken seed its report and the names of the broken promises."""

    seeds: int
    orders: int
    steps: int
    broken: list[tuple[str, frozenset[str]]]


def play_some(seeds: range, mutation: Mutation | None, profile: str | None, size: int | None) -> Played:
    """Play seeds one after the other."""
    orders = steps = 0
    broken = []
    for seed in seeds:
        outcome = simulate(seed, mutation=mutation, profile=profile, size=size)
        orders += outcome.orders
        steps += outcome.steps
        if outcome.violations:
            broken.append((str(outcome), frozenset(violation.check for violation in outcome.violations)))
    return Played(len(seeds), orders, steps, broken)


def play_many(arguments: argparse.Namespace) -> int:
    """Play a range of seeds in several processes; return 1 if a promise was broken."""
    begun = time.monotonic()
    seeds = orders = steps = bad = 0
    names: collections.Counter[str] = collections.Counter()
    end = arguments.first + arguments.count
    with ProcessPoolExecutor(arguments.processes) as pool:
        chunks = [
            pool.submit(
                play_some,
                range(first, min(first + CHUNK, end)),
                arguments.mutation,
                arguments.profile,
                arguments.size,
            )
            for first in range(arguments.first, end, CHUNK)
        ]
        for chunk in as_completed(chunks):
            if chunk.cancelled():
                continue
            played = chunk.result()
            seeds, orders, steps = seeds + played.seeds, orders + played.orders, steps + played.steps
            for report, checks in played.broken:
                bad += 1
                names.update(checks)
                print(report, flush=True)
            if bad >= TOO_MANY and not arguments.keep_going:
                for each in chunks:
                    each.cancel()
    seconds = time.monotonic() - begun
    speed = f"{seconds:.0f} s, {seeds / seconds:.1f} seeds/s"
    print(f"{seeds} seeds, {orders} orders, {steps} steps, {speed}, {bad} broken{f': {dict(names)}' if bad else ''}")
    return 1 if bad else 0


def play_one(arguments: argparse.Namespace) -> int:
    """Play one seed and print its faults, and every step if asked; return 1 if a promise was broken."""
    outcome = simulate(
        arguments.seed,
        mutation=arguments.mutation,
        profile=arguments.profile,
        size=arguments.size,
        trace=arguments.trace,
    )
    print(*(outcome.trace or []), *outcome.faults, outcome, sep="\n")
    return 1 if outcome.violations else 0


def find_first(mutation: Mutation, count: int) -> str:
    """Return the first seed that notices a mutation, and the promise that it finds broken."""
    profile, size = FIRST_NOTICED[mutation].profile, FIRST_NOTICED[mutation].size
    for seed in range(count):
        outcome = simulate(seed, mutation=mutation, profile=profile, size=size)
        if outcome.violations:
            drawn = f"{outcome.profile}{' (given)' if profile else ''}"
            return f"{mutation}: seed {seed}, {drawn}, {outcome.violations[0]}"
    return f"{mutation}: not noticed by {count} seeds"


def main() -> int:
    """Do what the command line asks for; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="play this seed alone and print its faults")
    parser.add_argument("--trace", action="store_true", help="with --seed: print every step")
    parser.add_argument("--first", type=int, default=0, help="the first of many seeds (0)")
    parser.add_argument("--count", type=int, default=100, help="how many seeds (100)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many at once (one per core)")
    parser.add_argument("--keep-going", action="store_true", help=f"do not stop at {TOO_MANY} broken seeds")
    parser.add_argument("--size", type=int, help="orders of each run, instead of drawing it")
    parser.add_argument("--profile", choices=sorted(PROFILES), help="which faults, instead of drawing it")
    parser.add_argument("--mutation", choices=MUTATIONS, help="switch one safety rule off")
    parser.add_argument("--mutations", action="store_true", help="print the first of --count seeds that notices each")
    arguments = parser.parse_args()
    if arguments.mutations:
        with ProcessPoolExecutor(arguments.processes) as pool:
            for line in pool.map(find_first, MUTATIONS, [arguments.count] * len(MUTATIONS)):
                print(line, flush=True)
        return 0
    return play_one(arguments) if arguments.seed is not None else play_many(arguments)


if __name__ == "__main__":
    sys.exit(main())
