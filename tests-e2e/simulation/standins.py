"""Init and worker as they should be, until the real ones are driven."""

from __future__ import annotations

from datetime import timedelta

from iac_ci_common import keys
from iac_ci_common.errors import AlreadyExists
from iac_ci_common.models.answer import StoredJob
from iac_ci_common.models.job import Job
from iac_ci_common.models.result import Claim, Reporter, Result
from iac_ci_common.models.work import Work
from iac_ci_common.queueing import queue
from iac_ci_common.states import OrderState
from simulation.checks import Checks
from simulation.graphs import Story
from simulation.scheduler import Process
from simulation.world import PreparationsService, RunsPort, WatchdogsService, World


class Init:
    def __init__(self, world: World) -> None:
        self.world = world
        self.objects = world.port("objects", world.objects)
        self.runs = RunsPort(world, world.runs)
        self.watchdogs = world.port("watchdogs", WatchdogsService(world))
        self.preparations = world.port("preparations", PreparationsService(world))

    def accept(self, story: Story, run_id: str, trace_id: str) -> str:
        now = self.world.now()
        job = Job.model_validate(story.job)
        stored = StoredJob(
            run_id=run_id, trace_id=trace_id, flow_id=f"a:{trace_id}-f", accepted_at=now,
            deadline=now + timedelta(seconds=job.job_timeout), source="api", job=job,
        )
        self.objects.create(keys.job(run_id), stored.model_dump_json().encode())
        self.watchdogs.start(run_id, "0000")
        self.preparations.start(run_id)
        return run_id

    def prepare(self, event: dict) -> None:
        run_id = event["prepare"]
        stored = StoredJob.model_validate_json(self.objects.get(keys.job(run_id)))
        if self.runs.read(run_id).run is not None and self.world.mutation != "idempotent second leg":
            self.objects.put(keys.trigger(run_id), b"{}")
            return
        queued = queue(stored, max_parallel=100)
        for order in queued.orders:
            self.objects.put(keys.package(run_id, order.order_num), b"zip")
        self.runs.insert(queued.run, queued.orders, queued.events)
        self.objects.put(keys.trigger(run_id), b"{}")


class Worker:
    def __init__(self, world: World, checks: Checks, stories: dict[str, Story]) -> None:
        self.world, self.checks, self.stories = world, checks, stories

    def url(self, url: str, body: bytes | None = None):
        return self.world.call("urls.use", lambda: self.world.objects.use_url(url, body))

    def run(self, work: Work, execution: str, process: Process) -> None:
        now = self.world.now()
        if now >= work.not_after:
            return
        claim = Claim(run_id=work.run_id, order_num=work.order_num, claimed_by=Reporter.WORKER, claimed_at=now, execution=execution)
        try:
            self.url(work.urls.claim, claim.model_dump_json().encode())
        except AlreadyExists:
            return
        self.url(work.urls.package)
        b = self.stories[work.run_id].behaviours[work.order_num]
        timeout = min(work.timeout, (work.not_after - self.world.now()).total_seconds())
        self.checks.commands_start(work.run_id, work.order_num)
        try:
            if b.kills_worker:
                self.world.scheduler.pause(min(b.seconds, timeout))
                self.world.scheduler.die()
            if b.hangs or b.seconds > timeout:
                self.world.scheduler.pause(timeout)
                status, code = OrderState.TIMED_OUT, None
            else:
                self.world.scheduler.pause(b.seconds)
                status, code = (OrderState.FAILED if b.exit_code else OrderState.SUCCEEDED), b.exit_code
        finally:
            self.checks.commands_end(work.run_id, work.order_num)
        self.url(work.urls.log, b"log")
        result = Result(run_id=work.run_id, order_num=work.order_num, status=status, reported_by=Reporter.WORKER, exit_code=code, started_at=now, ended_at=self.world.now())
        for _ in range(3):
            try:
                self.url(work.urls.result, result.model_dump_json().encode())
            except AlreadyExists:
                return
            except Exception:
                continue
            return
