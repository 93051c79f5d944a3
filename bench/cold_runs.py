"""Measures how evenly cold wide runs take under load: ``python -m bench.cold_runs``.

The runs come one after the other in one local cloud. Before each, every function is changed, so that none has a process
left, as on AWS after a deployment. Meanwhile other processes use the processor. The last line compares the slowest run
with the median. Of the slowest run, the calls of AWS after each ten seconds show where its time went.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median, quantiles
from typing import TYPE_CHECKING, Final

from bench import memory
from bench.cloud import CountedCloud
from bench.measuring import COUNTED
from iac_ci_common import keys
from iac_ci_common.states import RunState
from iac_ci_local.ministack import Speed
from iac_ci_local.signals import ended_by_signals
from iac_ci_local.testing import done_marker, submit, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SECONDS: Final = 1800
_STEP: Final = 10
"""Seconds of one column of the slowest run's calls."""


@dataclass(frozen=True, slots=True)
class ColdRun:
    """One run: how many processes of functions it found, its end, seconds, and the AWS calls in each ten of these."""

    found: int
    succeeded: bool
    seconds: float
    calls: tuple[int, ...]


def main() -> None:
    """Measure and print; exit with 1 if a run did not succeed."""
    parser = argparse.ArgumentParser(prog="python -m bench.cold_runs", description="Measure cold wide runs under load.")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--orders", type=int, default=20, help="orders of each run")
    parser.add_argument("--load", type=int, default=2, help="other processes that use the processor")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    chosen = parser.parse_args()
    with ended_by_signals(), CountedCloud(speed=Speed(wait_scale=1)) as cloud, load(chosen.load):
        measured = []
        for number in range(1, chosen.runs + 1):
            measured.append(measure(cloud, number, chosen.orders))
            print(f"run {number} of {chosen.runs}: {measured[-1].seconds:.1f} s", file=sys.stderr, flush=True)
    if chosen.json:
        json.dump([asdict(run) for run in measured], sys.stdout, indent=2)
        print()
    else:
        print(summary(measured, chosen.load))
    sys.exit(0 if all(run.succeeded for run in measured) else 1)


@contextmanager
def load(processes: int) -> Iterator[None]:
    """Use the processor by other processes while the block runs."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def measure(cloud: CountedCloud, number: int, orders: int) -> ColdRun:
    """Make every function cold, and run one job with independent orders."""
    make_cold(cloud, number)
    found = len(memory.processes(cloud))
    cloud.trace()
    job = {
        "username": f"bench-{number}",
        "job_timeout": 3600,
        "orders": [{"cmds": ["true"], "timeout": 300} for _ in range(orders)],
    }
    began = time.monotonic()
    run_id = submit(cloud, job)
    s3, bucket = cloud.aws.client("s3"), cloud.stack.names.bucket("done")
    listed = partial(s3.list_objects_v2, Bucket=bucket, Prefix=keys.done(run_id))
    wait_until(lambda: "Contents" in listed(), seconds=_SECONDS, subject=f"the end of run {run_id}")
    seconds = time.monotonic() - began
    marker = done_marker(cloud, run_id)
    # The server's clock is this one: the system's, from its start on.
    steps = Counter(int((call["began"] - began) // _STEP) for call in cloud.trace() if call["caller"] in COUNTED)
    calls = tuple(steps[step] for step in range(max(steps) + 1))
    return ColdRun(found, marker is not None and marker.status is RunState.SUCCEEDED, seconds, calls)


def make_cold(cloud: CountedCloud, number: int) -> None:
    """Change every function, so that its next call starts a process; its time-out counts, its description does not."""
    functions = cloud.aws.client("lambda")
    for page in functions.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            functions.update_function_configuration(
                FunctionName=function["FunctionName"],
                Description=f"before run {number}",
                Timeout=function["Timeout"],
            )


def summary(measured: Sequence[ColdRun], load: int) -> str:
    """Return what is printed: the calls of the slowest run, and how it compares with the median."""
    slowest = max(measured, key=lambda run: run.seconds)
    middle = median(run.seconds for run in measured)
    nine_of_ten = (
        quantiles((run.seconds for run in measured), n=10, method="inclusive")[-1] if len(measured) > 1 else middle
    )
    steps = ", ".join(f"{calls} from {step * _STEP} s" for step, calls in enumerate(slowest.calls) if calls)
    succeeded = sum(run.succeeded for run in measured)
    return (
        f"the slowest run's {sum(slowest.calls)} calls of AWS: {steps}\n"
        f"{succeeded} of {len(measured)} cold wide runs succeeded with a load of {load}: {middle:.1f} s in the median, "
        f"{nine_of_ten:.1f} s for nine of ten, {slowest.seconds:.1f} s at most "
        f"({slowest.seconds / middle:.1f} times the median)"
    )


if __name__ == "__main__":
    main()
