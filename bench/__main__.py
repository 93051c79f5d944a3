"""Measures workloads, each in a new local cloud: ``python -m bench [WORKLOAD …]``."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Final

from rich.console import Console

from bench import table, workloads
from bench.bare import BareChain
from bench.cloud import CountedCloud
from bench.measuring import Measurement, Measuring
from iac_ci_local.ministack import Speed
from iac_ci_local.signals import ended_by_signals

_SPEED: Final = Speed(wait_scale=30)
"""Watchdogs poll after half an hour. On AWS none would poll within the minute that most of these runs take, and here
each poll is a process that would slow the run down."""


def main() -> None:
    """Measure the workloads and print the results; exit with 1 if a run did not succeed."""
    known = workloads.read()
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure workloads on a local cloud.")
    parser.add_argument("workload", nargs="*", help=f"any of {', '.join(known)}; all by default")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument("--max-parallel", type=int, help="limit of open orders per run")
    parser.add_argument("--rounds", type=int, choices=(1, 2), default=2, help="2: again with warm processes")
    parser.add_argument(
        "--event-delay",
        nargs=2,
        type=float,
        default=(0.0, 0.0),
        metavar=("SHORTEST", "LONGEST"),
        help="seconds until an event of S3 is delivered, for the bare chain too (AWS: about 0.5 1.5)",
    )
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.workload) - set(known))
    if unknown:
        parser.error(f"unknown workload {', '.join(unknown)}: use {', '.join(known)}")
    shortest, longest = chosen.event_delay
    measured = [
        measure(known[name], chosen.max_parallel, chosen.rounds, (shortest, longest))
        for name in chosen.workload or known
    ]
    if chosen.json:
        json.dump(table.as_json(measured), sys.stdout, indent=2)
        print()
    else:
        console = Console()
        for one in table.tables(measured):
            console.print(one)


def measure(
    workload: workloads.Workload, parallel: int | None, rounds: int, event_delay: tuple[float, float]
) -> Measurement:
    """Measure one workload in a new cloud, so that it does not use another one's processes or memory."""
    parallel = parallel or workload.parallel
    print(f"{workload.name} …", file=sys.stderr)
    with ended_by_signals(), CountedCloud(max_parallel=parallel, speed=_SPEED, event_delay=event_delay) as cloud:
        measuring = Measuring(cloud, BareChain(cloud), parallel=parallel)
        measuring.warm_up(workloads.read()["single"])
        return measuring.measure(workload, rounds=rounds)


if __name__ == "__main__":
    main()
