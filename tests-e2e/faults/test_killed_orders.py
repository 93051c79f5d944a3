"""Workers and their supervisors are killed at random moments: the outcome is true, and no commands start twice.

The *worker* is the process that runs the commands. Its *supervisor* is what AWS keeps above it: the agent of a build,
or the process that keeps Lambda's sandbox. `IAC_CI_FULL=1 KILLS=7 SEED=1` before the command plays other numbers.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from iac_ci_common import limits
from iac_ci_common.models.rows import OrderRow
from iac_ci_common.states import OrderState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.functions import sandbox
from iac_ci_local.functions.settings import FunctionSettings
from iac_ci_local.ministack import Speed
from iac_ci_local.testing import log_of, submit, wait_for_end

pytestmark = [pytest.mark.local_cloud, pytest.mark.timeout(5400)]

ORDERS = 16
"""Orders of one run, half of them on each stand-in."""

LATE_SECONDS = 15.0
"""What a loaded machine may add to the period in which output leaves a worker."""

COMMAND = (
    "curl -sf -o /dev/null -X PUT -H 'If-None-Match: *' --data started \"$START\" || "
    'curl -sf -X PUT --data again "$AGAIN"\n'
    "end=$(( ${EPOCHREALTIME%.*} + SECONDS_LONG ))\n"
    'while [ "${EPOCHREALTIME%.*}" -lt "$end" ]; do echo "at $EPOCHREALTIME"; sleep 0.1; done\n'
    'curl -sf -o /dev/null -X PUT --data done "$DONE"\n'
    "exit $CODE"
)
LINE = re.compile(r"^at ([0-9.]+)$", re.MULTILINE)


@dataclass
class Planned:
    """One order: how long it prints, how it exits, and when which process of it is killed, seconds after it began."""

    target: str
    seconds: int
    code: int
    victim: str
    moment: float
    killed_at: float | None = None


@dataclass
class Tally:
    """What was counted over all runs."""

    kills: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0


def plan(random: Random, number: int) -> Planned:
    """Draw an order. Half of the moments are while its commands run, the others anywhere from its start to its end."""
    seconds = random.randint(2, 14)
    return Planned(
        target="codebuild" if number % 2 else "lambda",
        seconds=seconds,
        code=random.choice((0, 0, 3)),
        victim=random.choice(("worker", "supervisor")),
        moment=random.uniform(0.0, seconds + 1.0),
    )


def processes_above(pid: int) -> Iterator[tuple[int, list[str]]]:
    """Yield ``pid`` and the processes above it, the nearest first, with their arguments."""
    while pid > 1:
        try:
            yield pid, Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").split("\0")
            stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
            pid = int(stat.rpartition(")")[2].split()[1])
        except OSError:
            return


def process_of(victim: str, run: str, num: str) -> int | None:
    """Return the worker or the supervisor of an order; None if there is none now.

    A build is known by its variables from its start, a function by what its commands have.
    """
    of_commands = {f"IAC_CI_RUN_ID={run}", f"IAC_CI_ORDER_NUM={num}"}
    of_build = {f"IAC_CI_RUN={run}", f"IAC_CI_ORDER={num}"}
    for entry in Path("/proc").iterdir():
        try:
            variables = (
                set((entry / "environ").read_text("utf-8", "replace").split("\0")) if entry.name.isdigit() else set()
            )
        except OSError:
            continue
        if not (of_commands <= variables or of_build <= variables):
            continue
        for pid, words in processes_above(int(entry.name)):
            is_worker = "iac_ci_worker" in " ".join(words) or any(word.endswith("iac-ci-worker") for word in words)
            is_supervisor = any(word.endswith(("codebuild/agent.py", "functions.keeper")) for word in words)
            if (victim == "worker" and is_worker) or (victim == "supervisor" and is_supervisor):
                return pid
    return None


@dataclass
class Killer:
    """Kills processes of one run's orders, each at its moment."""

    run: str
    planned: dict[str, Planned]
    over: threading.Event = field(default_factory=threading.Event)

    def go_on(self) -> None:
        began: dict[str, float] = {}
        while not self.over.wait(0.05):
            for num, order in self.planned.items():
                if order.killed_at is not None or (num in began and time.monotonic() - began[num] < order.moment):
                    continue
                pid = process_of(order.victim, self.run, num)
                if pid is None:
                    continue
                if num not in began:
                    began[num] = time.monotonic()
                    continue
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                order.killed_at = time.time()


def play(cloud: LocalCloud, random: Random, tally: Tally) -> None:
    """Run one job, kill its orders, and check how each ended."""
    planned = {f"{number + 1:04d}": plan(random, number) for number in range(ORDERS)}
    s3, bucket = cloud.aws.client("s3"), cloud.stack.names.bucket("state")
    folder = f"kills-{random.getrandbits(64):x}/"

    def url(num: str, name: str) -> str:
        key = {"Bucket": bucket, "Key": f"{folder}{num}-{name}"}
        return str(s3.generate_presigned_url("put_object", Params=key))

    def order(num: str, drawn: Planned) -> dict[str, Any]:
        variables = {name: url(num, name) for name in ("START", "AGAIN", "DONE")}
        return {
            "order_name": f"o{num}", "cmds": [COMMAND], "timeout": 120, "execution_target": drawn.target,
            "env_vars": {**variables, "SECONDS_LONG": str(drawn.seconds), "CODE": str(drawn.code)},
        }  # fmt: skip

    orders = [order(num, drawn) for num, drawn in planned.items()]
    run = submit(cloud, {"username": "tests", "job_timeout": 1800, "orders": orders})
    killer = Killer(run, planned)
    thread = threading.Thread(target=killer.go_on, daemon=True)
    thread.start()
    try:
        rows = wait_for_end(cloud, run).orders
    finally:
        killer.over.set()
        thread.join()
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=folder).get("Contents", [])
    written = {entry["Key"].removeprefix(folder): entry["LastModified"].timestamp() for entry in listed}
    for row in rows:
        check(cloud, row, planned[row.order_num], written, tally)


def check(cloud: LocalCloud, row: OrderRow, drawn: Planned, written: Mapping[str, float], tally: Tally) -> None:
    """Check one order, and count it."""
    num, about = row.order_num, (row.order_name, drawn, row.status, row.reason)
    assert f"{num}-AGAIN" not in written, ("the commands started twice", about)
    reached_end = f"{num}-DONE" in written
    log = log_of(cloud, row.run_id, num)
    if drawn.killed_at is None:
        assert f"{num}-START" in written, about
    if row.status is OrderState.SUCCEEDED:
        assert reached_end, ("it did not reach its end", about)
        assert drawn.code == 0, about
    elif row.exit_code is not None:
        assert (row.status, row.exit_code) == (OrderState.FAILED, drawn.code), about
        assert reached_end, about
    else:
        assert drawn.killed_at is not None, about
        assert row.status is OrderState.FAILED, about
        assert row.reason, about
    if drawn.killed_at is None:
        tally.outcomes["not killed, " + row.status.value] += 1
        return
    tally.kills[f"{drawn.target} {drawn.victim}"] += 1
    if row.exit_code is not None or row.status is OrderState.SUCCEEDED:
        # It was killed before its claim, so that another worker ran it, or after its result.
        tally.outcomes[f"killed, {row.status.value} all the same"] += 1
        return
    tally.outcomes["killed, failed"] += 1
    if f"{num}-START" in written:
        times = [float(text) for text in LINE.findall(log)]
        tally.longest = max(tally.longest, drawn.killed_at - (times[-1] if times else written[f"{num}-START"]))


@pytest.mark.full
@pytest.mark.skipif(bool(sandbox.missing()), reason="finding the processes of an order needs root on Linux")
def test_workers_and_supervisors_that_are_killed() -> None:
    kills, seed = int(os.environ.get("KILLS", "200")), int(os.environ.get("SEED", "19"))
    random, tally = Random(seed), Tally()
    functions = FunctionSettings(sandboxed=("worker",))
    with LocalCloud(speed=Speed(wait_scale=0.1, retry_seconds=0.1), functions=functions) as cloud:
        while tally.kills.total() < kills:
            play(cloud, random, tally)
    shown = ", ".join(f"{count} {name}" for name, count in sorted(tally.kills.items()))
    outcomes = ", ".join(f"{count} {name}" for name, count in sorted(tally.outcomes.items()))
    print(
        f"seed {seed}: {tally.kills.total()} kills ({shown}): {outcomes}; 0 wrong outcomes, 0 second starts, logs "
        f"complete up to {tally.longest:.1f} s (a period has {limits.LIVE_SECONDS} s)"
    )
    assert tally.longest <= limits.LIVE_SECONDS + LATE_SECONDS
