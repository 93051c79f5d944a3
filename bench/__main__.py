"""``python -m bench [WORKLOAD …]``: measures workloads on a local cloud of its own."""

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
"""Watchdogs look after half an hour: on AWS none would look within the minute that most of these runs take there, and
here each look is a process that would take the machine from the run."""


def main() -> None:
    """Measure and show; exits with 1 where a run did not succeed."""
    known = workloads.read()
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure workloads on a local cloud.")
    parser.add_argument("workload", nargs="*", help=f"any of {', '.join(known)}; all where none is named")
    parser.add_argument("--json", action="store_true", help="print JSON for machines")
    parser.add_argument("--max-parallel", type=int, help="orders of a run that are open at once")
    parser.add_argument("--rounds", type=int, choices=(1, 2), default=2, help="2 measures again with warm processes")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.workload) - set(known))
    if unknown:
        parser.error(f"there is no workload {', '.join(unknown)}")
    measured = [measure(known[name], chosen.max_parallel, chosen.rounds) for name in chosen.workload or known]
    if chosen.json:
        json.dump(table.as_json(measured), sys.stdout, indent=2)
        print()
    else:
        console = Console()
        for one in table.tables(measured):
            console.print(one)


def measure(workload: workloads.Workload, parallel: int | None, rounds: int) -> Measurement:
    """Measure one workload in a cloud of its own, so that none inherits another's processes or memory."""
    parallel = parallel or workload.parallel
    print(f"{workload.name} …", file=sys.stderr)
    with ended_by_signals(), CountedCloud(max_parallel=parallel, speed=_SPEED) as cloud:
        measuring = Measuring(cloud, BareChain(cloud), parallel=parallel)
        measuring.warm_up(workloads.read()["single"])
        return measuring.measure(workload, rounds=rounds)


if __name__ == "__main__":
    main()
