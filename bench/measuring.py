"""Measures one workload, and the bare chain for comparison.

Each round runs the bare chain and then the workload. In the first round, the functions have processes for one order and
start more on demand, as on AWS after a quiet period. In the second round, all processes are warm.
"""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from bench import memory
from bench.bill import bill, quantities
from bench.durations import FUNCTIONS, Spent, spent
from bench.serial_calls import serial_calls
from iac_ci_common import keys
from iac_ci_common.states import RunState
from iac_ci_local.testing import done_marker, submit, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.bare import BareChain
    from bench.cloud import CountedCloud
    from bench.workloads import Workload

COUNTED: Final = ("init-job", "orchestrator", "worker")
"""Functions whose calls count as calls per order. Calls of watchdogs depend on the duration of orders."""

_SECONDS: Final = 1800


@dataclass(frozen=True, slots=True)
class Round:
    """One run of the bare chain and one of the workload."""

    bare: float
    wall: float
    calls: float
    """AWS calls of init, orchestrator and worker."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The measurements of one workload's first round: seconds, megabytes and US dollars."""

    workload: str
    orders: int
    runs: int
    max_parallel: int
    wall: float
    bare: float
    finish: float | None
    """Seconds from the release of all orders to the end, for workloads whose orders end together; otherwise None."""
    calls: list[dict[str, Any]] = field(repr=False)
    events: int
    passes: int
    spent: dict[str, Spent]
    peaks: dict[str, float]
    warm: Round | None
    """Times of the second round, if there was one."""
    used: dict[str, float]
    serial: int = 0
    """Calls of these functions that came one after another, at most."""

    @property
    def overhead(self) -> float:
        """Wall time over that of the bare chain."""
        return self.wall / self.bare

    @property
    def warm_overhead(self) -> float | None:
        """The overhead with warm processes; None without a second round."""
        return None if self.warm is None else self.warm.wall / self.warm.bare

    @property
    def calls_per_order(self) -> float:
        """AWS calls of init, orchestrator and worker for each order."""
        return self.total("calls") / self.orders

    @property
    def warm_calls_per_order(self) -> float | None:
        """The same in the second round; None without one."""
        return None if self.warm is None else self.warm.calls / self.orders

    @property
    def coalesced(self) -> int:
        """Events that needed no look of their own."""
        return max(0, self.events - self.passes)

    @property
    def bill(self) -> float:
        """All of the estimated bill."""
        return sum(bill(self.used).values())

    def total(self, name: str, *, service: str | None = None) -> float:
        """Sum one count over the counted functions, of one service or all."""
        return sum(
            float(row[name]) for row in self.calls if row["caller"] in COUNTED and service in (None, row["service"])
        )

    def by_operation(self) -> dict[str, float]:
        """Return the calls of the counted functions by service and operation."""
        found: dict[str, float] = {}
        for row in self.calls:
            if row["caller"] in COUNTED:
                name = f"{row['service']}.{row['operation']}"
                found[name] = found.get(name, 0) + row["calls"]
        return dict(sorted(found.items(), key=lambda item: -item[1]))


class Measuring:
    """Measures workloads one after another in one cloud."""

    def __init__(self, cloud: CountedCloud, bare: BareChain, *, parallel: int) -> None:
        """Use a running cloud with at most ``parallel`` open orders per run."""
        self._cloud = cloud
        self._bare = bare
        self._parallel = parallel
        self._s3 = cloud.aws.client("s3")
        self._dynamodb = cloud.aws.client("dynamodb")

    def warm_up(self, workload: Workload) -> None:
        """Run once without measuring, so that the first processes exist."""
        self._bare.run(1, lanes=1)
        self._run(workload)

    def measure(self, workload: Workload, *, rounds: int) -> Measurement:
        """Measure one workload in one or two rounds; raise ``AssertionError`` if a run does not succeed."""
        lanes = workload.lanes(self._parallel)
        bare = self._bare.run(workload.all_orders, lanes=lanes)
        self._cloud.calls()
        self._cloud.trace()
        since = datetime.now(UTC)
        run_ids, wall, finish = self._run(workload)
        calls = self._cloud.calls()
        serial = serial_calls(self._cloud.trace(), COUNTED)
        functions = spent(self._cloud, since)
        peaks = memory.peaks(self._cloud)
        events = self._events(run_ids)
        warm = self._warm(workload, lanes) if rounds > 1 else None
        return Measurement(
            workload=workload.name,
            orders=workload.all_orders,
            runs=workload.runs,
            max_parallel=self._parallel,
            wall=wall,
            bare=bare,
            finish=finish,
            calls=calls,
            events=events,
            passes=_passes(calls),
            spent=functions,
            peaks=peaks,
            warm=warm,
            used=quantities(
                [row for row in calls if row["caller"] != "outside"],
                functions,
                self._memory_mb(),
                requests=len(run_ids),
            ),
            serial=serial,
        )

    def _warm(self, workload: Workload, lanes: int) -> Round:
        bare = self._bare.run(workload.all_orders, lanes=lanes)
        self._cloud.calls()
        wall = self._run(workload)[1]
        calls = sum(float(row["calls"]) for row in self._cloud.calls() if row["caller"] in COUNTED)
        return Round(bare, wall, calls)

    def _run(self, workload: Workload) -> tuple[list[str], float, float | None]:
        """Return the runs' ids, the seconds until the last done marker, and the seconds since the gate opened."""
        gate = self._cloud.aws.folder / f"gate-{uuid.uuid4().hex}"
        # Equal bodies signed in the same second are one repeated request, which the webhook refuses.
        jobs = [workload.job(gate=gate, username=f"bench-{number}") for number in range(workload.runs)]
        started = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            run_ids = list(pool.map(partial(submit, self._cloud), jobs))
        opened = None
        if workload.together:
            for run_id in run_ids:
                wait_until(partial(self._all_started, run_id, workload.orders), seconds=_SECONDS, subject="every claim")
            opened = time.monotonic()
            gate.touch()
        for run_id in run_ids:
            wait_until(partial(self._ended, run_id), seconds=_SECONDS, subject=f"the end of run {run_id}")
        ended = time.monotonic()
        for run_id in run_ids:
            marker = done_marker(self._cloud, run_id)
            if marker is None or marker.status is not RunState.SUCCEEDED:
                raise AssertionError(f"run {run_id} of {workload.name} did not succeed: {marker}")
            # Steps after the done marker delay nobody, but their calls count.
            wait_until(partial(self._completed, run_id), subject=f"the completed lock of run {run_id}")
        return run_ids, ended - started, None if opened is None else ended - opened

    def _all_started(self, run_id: str, orders: int) -> bool:
        found = self._keys("internal", keys.callbacks(run_id))
        return sum(key.endswith("/claim.json") for key in found) == orders

    def _ended(self, run_id: str) -> bool:
        # A listing is the cheapest request of the local cloud.
        return bool(self._keys("done", keys.done(run_id)))

    def _keys(self, bucket: str, prefix: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._cloud.stack.names.bucket(bucket), Prefix=prefix
        )
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def _memory_mb(self) -> dict[str, int]:
        functions, names = self._cloud.aws.client("lambda"), self._cloud.stack.names
        return {
            name: functions.get_function_configuration(FunctionName=names.resource(name))["MemorySize"]
            for name in FUNCTIONS
        }

    def _events(self, run_ids: Sequence[str]) -> int:
        """Return the number of the runs' events, from their doorbells."""
        return sum(int(self._lock(run_id)["doorbell"]["N"]) for run_id in run_ids)

    def _completed(self, run_id: str) -> bool:
        return bool(self._lock(run_id).get("completed", {}).get("BOOL"))

    def _lock(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self._dynamodb.get_item(
            TableName=self._cloud.stack.names.resource("locks"), Key={"lock_key": {"S": keys.run_lock(run_id)}}
        )["Item"]
        return found


def _passes(calls: Sequence[dict[str, Any]]) -> int:
    """Return the number of the orchestrator's passes, as far as calls show it.

    A pass ends with a write that gives its lock up, in a transaction or alone: it releases the lock, or completes the
    run. A write that is refused because of an event is followed by another pass. A pass that must be repeated at once
    does not count.
    """
    return round(sum(float(row["locks_left"]) for row in calls if row["caller"] == "orchestrator"))
