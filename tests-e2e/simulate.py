"""Play seeds of the simulator: ``uv run python tests-e2e/simulate.py --seed 42 --trace``."""

from __future__ import annotations

import argparse
import collections
import sys
import time

from simulation.faults import PROFILES
from simulation.mutations import MUTATIONS
from simulation.simulate import simulate


def main() -> int:
    """Play what the command line asks for; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="play this seed alone and tell its story")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--size", type=int, help="orders of each run, instead of drawing it")
    parser.add_argument("--profile", choices=sorted(PROFILES), help="weather, instead of drawing it")
    parser.add_argument("--mutation", choices=MUTATIONS, help="switch one safety rule off")
    parser.add_argument("--trace", action="store_true", help="print every step")
    parser.add_argument("--keep-going", action="store_true")
    arguments = parser.parse_args()
    seeds = (
        [arguments.seed] if arguments.seed is not None else range(arguments.first, arguments.first + arguments.count)
    )
    begun = time.monotonic()
    bad = 0
    names: collections.Counter[str] = collections.Counter()
    steps = orders = 0
    for seed in seeds:
        outcome = simulate(
            seed, mutation=arguments.mutation, profile=arguments.profile, size=arguments.size, trace=arguments.trace
        )
        steps += outcome.steps
        orders += outcome.orders
        if arguments.trace:
            print(*(outcome.trace or []), sep="\n")
        if arguments.seed is not None:
            print(*outcome.faults, outcome, sep="\n")
        if outcome.violations:
            bad += 1
            names.update({violation.check for violation in outcome.violations})
            if arguments.seed is None:
                print(outcome)
            if not arguments.keep_going and arguments.mutation is None and bad == 5:
                break
    seconds = time.monotonic() - begun
    print(f"{len(seeds)} seeds, {orders} orders, {steps} steps, {seconds:.1f} s, {bad} broken: {dict(names)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
