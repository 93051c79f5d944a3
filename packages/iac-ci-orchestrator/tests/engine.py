"""An orchestrator on in-memory ports, with workers that do at once what a test wants."""

from __future__ import annotations

from collections import Counter

from iac_ci_common import keys
from iac_ci_common.models.done import DoneMarker
from iac_ci_common.models.result import Claim, Reporter, Result
from iac_ci_common.states import OrderState
from iac_ci_common.testing import (
    FakeClock,
    MemoryAsyncInvoker,
    MemoryEventBus,
    MemoryGroups,
    MemoryLastWrites,
    MemoryLocks,
    MemoryLogger,
    MemoryObjects,
    MemoryPlans,
    MemoryRuns,
    MemoryWatchdogs,
    MemoryWorkers,
    Observed,
    Sequential,
)
from iac_ci_common.testing.samples import RUN_ID, START, queued
from iac_ci_orchestrator.act import Orchestrator
from iac_ci_orchestrator.ports import OrchestratorPorts
from iac_ci_vcs.testing import MemoryReports


class Engine:
    def __init__(self, orders, before=None, after=None, **fields):
        self.clock = FakeClock(START)
        self.runs, self.locks, self.workers = MemoryRuns(), MemoryLocks(), MemoryWorkers()
        self.objects, self.done = MemoryObjects(self.clock), MemoryObjects(self.clock)
        self.watchdogs, self.reports, self.logger = MemoryWatchdogs(), MemoryReports(), MemoryLogger()
        self.plans, self.invoker = MemoryPlans(self.clock), MemoryAsyncInvoker()
        self.groups, self.bus = MemoryGroups(self.clock), MemoryEventBus()
        self.calls: Counter[str] = Counter()
        self.pauses: list[float] = []
        self.log_tail, self.failed_command = "", None
        self.runs.insert(*queued(orders, **fields))
        for order in self.runs.read(RUN_ID).orders:
            self.objects.put(keys.package(RUN_ID, order.order_num), b"sealed")

        def count(name):
            self.calls[name] += 1
            if before is not None:
                before(name)

        def watched(port, name):
            return Observed(port, name=name, before=count, after=after)

        self.orchestrator = Orchestrator(
            OrchestratorPorts(
                clock=self.clock,
                runs=watched(self.runs, "runs"),
                locks=watched(self.locks, "locks"),
                last_writes=watched(MemoryLastWrites(self.runs, self.locks), "last_writes"),
                objects=watched(self.objects, "objects"),
                done=watched(self.done, "done"),
                workers=watched(self.workers, "workers"),
                watchdogs=watched(self.watchdogs, "watchdogs"),
                reports=watched(self.reports, "reports"),
                plans=watched(self.plans, "plans"),
                invoker=watched(self.invoker, "invoker"),
                groups=watched(self.groups, "groups"),
                bus=watched(self.bus, "bus"),
                parallel=Sequential(),
                logger=self.logger,
                wait=self.pauses.append,
            )
        )

    def wake(self, *nums):
        self.orchestrator.wake(RUN_ID, frozenset(nums) or frozenset({"0000"}))

    def claim(self, num, by=Reporter.WORKER):
        claim = Claim(run_id=RUN_ID, order_num=num, claimed_by=by, claimed_at=self.clock.now())
        self.objects.create(keys.claim(RUN_ID, num), claim.model_dump_json().encode())

    def report(self, num, status=OrderState.SUCCEEDED, **fields):
        now = self.clock.now()
        failed = status is not OrderState.SUCCEEDED
        result = Result(
            run_id=RUN_ID,
            order_num=num,
            status=status,
            reported_by=Reporter.WORKER,
            started_at=now,
            ended_at=now,
            failed_command=self.failed_command if failed else None,
            log_tail=self.log_tail,
            **fields,
        )
        self.objects.create(keys.result(RUN_ID, num), result.model_dump_json().encode())

    def handed_out(self):
        """Take the orders that were handed to workers since the last look."""
        works, self.workers.lambda_works = self.workers.lambda_works, []
        return [work.order_num for work in works]

    def run_to_the_end(self, one_by_one=True):
        self.wake()
        while works := self.handed_out():
            for num in works:
                self.report(num)
                if one_by_one:
                    self.wake(num)
            if not one_by_one:
                self.wake(*works)

    @property
    def states(self):
        return {row.order_num: row.status.value for row in self.runs.read(RUN_ID).orders}

    @property
    def marker(self):
        return DoneMarker.model_validate_json(self.done.get(keys.done(RUN_ID)))

    def assert_ended_well(self):
        marker, rows = self.marker, self.runs.read(RUN_ID)
        assert marker.status == rows.run.status
        assert {order.order_num: order.status for order in marker.orders} == {
            row.order_num: row.status for row in rows.orders
        }
        assert sum(marker.summary.values()) == len(rows.orders)
        assert self.locks.read(RUN_ID).completed
        assert not self.objects.list("tmp/exec/")
