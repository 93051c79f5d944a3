"""AWS as far as the engine sees it, with everything that it may do to the engine.

Every port call of a process goes through ``World.call``: a pause, perhaps a fault, the effect, another pause. Events
and asynchronous calls arrive by ``Faults.deliveries``: late, out of order, several times or never.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote
from uuid import NAMESPACE_OID, uuid5

from iac_ci_common.errors import AtCapacity, IacCiError, PortFailed, Throttled
from iac_ci_common.keys import CALLBACK_PREFIX, RESULT_SUFFIX
from iac_ci_common.models.announcement import Announcement
from iac_ci_common.models.answer import EventTask, ReplanTask
from iac_ci_common.models.commit_job import JobPart, Plans
from iac_ci_common.models.event import Event
from iac_ci_common.models.rows import OrderRow, ReportTarget, RunRow
from iac_ci_common.models.saved_plan import PlanRecord, ProjectApply, Replan
from iac_ci_common.models.trade import Trade, TradeAnswer
from iac_ci_common.models.work import BuildOrder, Work
from iac_ci_common.ports import RunRows, Transition
from iac_ci_common.testing import MemoryDeliveries, MemoryPlans, MemorySealer, Sequential
from iac_ci_vcs.drift import Drift, ReportedDrift
from iac_ci_vcs.merge_verdicts import MergeReport
from iac_ci_vcs.provider import CommitStatus
from iac_ci_vcs.testing import MemoryReports
from simulation.faults import Fault, Faults, Quotas
from simulation.groups import GroupPlan
from simulation.memory import (
    RecordedChains,
    RecordedGroups,
    RecordedLastWrites,
    RecordedLedgers,
    RecordedLocks,
    RecordedObjects,
    RecordedRuns,
)
from simulation.merges import MergingHost
from simulation.mutations import Mutation
from simulation.scheduler import Ending, Process, Scheduler

if TYPE_CHECKING:
    from simulation.repository import Repository

T = TypeVar("T")

LIMITS = {"init": 300.0, "orchestrator": 600.0, "watchdog": 60.0, "worker": 600.0, "broker": 20.0}
"""Time-outs of the functions, as in terraform/deploy/stack/functions.json."""

RETRIES = {"init": 2, "orchestrator": 2, "watchdog": 2, "worker": 0}
POLL_SECONDS = 60.0
STALE_SECONDS = 2.0
"""DescribeExecution is eventually consistent: what ended so long ago may still seem to run."""

QUEUED_BUILDS = 5
"""CodeBuild queues so many times as many builds as may run, and refuses more (docs/operations.md)."""

FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 1.0, 300.0
"""Lambda repeats an asynchronous call for which there is no environment after so long, each time twice as long."""

_LOCAL = frozenset({"presign_get", "presign_put", "session"})
_NEVER_REPEATED = frozenset({"runs.apply", "runs.insert", "last_writes.write", "deliveries.remember"})
"""DynamoDB transactions carry a token, so that botocore's own repetition of a lost call changes nothing."""


class Port:
    """Stands for a port inside a process: each method is a call to the world."""

    def __init__(self, world: World, name: str, port: object) -> None:
        self._world = world
        self._name = name
        self._port = port

    def __getattr__(self, method: str) -> Any:
        value = getattr(self._port, method)
        if method in _LOCAL or not callable(value):
            return value
        name = f"{self._name}.{method}"

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._world.call(name, lambda: value(*args, **kwargs))

        self.__dict__[method] = call
        return call


class RunsPort:
    """The tables as a process sees them: several calls can be cut in the middle, what is read can be torn."""

    def __init__(self, world: World, runs: RecordedRuns) -> None:
        self._world = world
        self._runs = runs
        self._random = Random(world.random.random())

    def read(self, run_id: str) -> RunRows:
        """Read a run; a query is no transaction: rows may change between the first and the last."""
        if self._random.random() < 0.7:
            return self._world.call("runs.read", lambda: self._runs.read(run_id))
        first = self._world.call("runs.read", lambda: self._runs.read(run_id))
        second = self._world.call("runs.read", lambda: self._runs.read(run_id))
        cut = self._random.randint(0, len(first.orders))
        nums = {order.order_num for order in first.orders[:cut]}
        return RunRows(first.run, first.orders[:cut] + tuple(row for row in second.orders if row.order_num not in nums))

    def read_some(self, run_id: str, order_nums: Collection[str]) -> RunRows:
        """Read some rows; sometimes the table has no capacity for one of them."""
        found = self._world.call("runs.read_some", lambda: self._runs.read_some(run_id, order_nums))
        return RunRows(found.run, found.orders[1:]) if self._random.random() < 0.05 else found

    def find_run(self, run_id: str) -> RunRow | None:
        """Read the run's own row."""
        return self._world.call("runs.find_run", lambda: self._runs.find_run(run_id))

    def find_order(self, run_id: str, order_num: str) -> OrderRow | None:
        """Read one order's row."""
        return self._world.call("runs.find_order", lambda: self._runs.find_order(run_id, order_num))

    def next_watchdog(self, run_id: str, ended: int) -> int:
        """Count the run's watchdogs."""
        return self._world.call("runs.next_watchdog", lambda: self._runs.next_watchdog(run_id, ended))

    def insert(self, run: RunRow, orders: Sequence[OrderRow], events: Sequence[Event]) -> bool:
        """Insert in several calls, the run last."""
        if self._world.mutation == "idempotent second leg":
            return self._world.call("runs.insert", lambda: self._runs.insert(run, orders, events))
        for start in range(0, len(orders), 50):
            chunk = orders[start : start + 50]
            self._world.call("runs.insert", lambda chunk=chunk: [self._runs.insert_order(order) for order in chunk])
        self._world.call("runs.insert", lambda: self._runs.record(events))
        return self._world.call("runs.insert", lambda: self._runs.insert_run(run))

    def apply(
        self, transitions: Sequence[Transition], *, whole: bool = False, unless_cancelled: bool = False
    ) -> tuple[Transition, ...]:
        """Apply in calls of fifty."""
        # A plan that is written whole makes two other rules' absence harmless: it shows only without this one.
        without = {"plans are written whole", "stops repeat nothing", "a lost lease takes no group"}
        is_whole = whole and self._world.mutation not in without
        refused: list[Transition] = []
        for start in range(0, len(transitions), 50):
            chunk = transitions[start : start + 50]
            if is_whole and refused:
                refused += chunk
                continue
            apply = partial(self._runs.apply, chunk, whole=is_whole, unless_cancelled=unless_cancelled)
            refused += self._world.call("runs.apply", apply)
        return tuple(refused)

    def record(self, events: Sequence[Event]) -> None:
        """Write events."""
        self._world.call("runs.record", lambda: self._runs.record(events))

    def events(self, trace_id: str) -> list[Event]:
        """Read events."""
        return self._world.call("runs.events", lambda: self._runs.events(trace_id))

    def request_cancel(self, run_id: str, reason: str) -> None:
        """Ask for the end of a run."""
        self._world.call("runs.request_cancel", lambda: self._runs.request_cancel(run_id, reason))

    def request_stop(self, run_id: str, reason: str, *, order_num: str | None = None, soon: bool = False) -> None:
        """Ask for the end of the commands of a run, or of one of its orders."""
        ask = self._runs.request_stop
        self._world.call("runs.request_stop", lambda: ask(run_id, reason, order_num=order_num, soon=soon))


class Threads:
    """Does independent calls side by side, as the engine's own threads do: what they do is interleaved."""

    def __init__(self, world: World, workers: int = 16) -> None:
        self._world = world
        self._workers = workers

    def run(self, calls: Sequence[Callable[[], T]]) -> list[T | IacCiError]:
        """Do all calls and give each one's value or its error."""
        if self._world.scheduler.current is None or len(calls) < 2:
            return Sequential().run(calls)
        answers: dict[int, T | IacCiError] = {}
        unexpected: list[Exception] = []
        left = iter(enumerate(calls))

        def lane() -> None:
            for index, call in left:
                try:
                    answers[index] = call()
                except IacCiError as error:
                    answers[index] = error
                except Exception as error:  # noqa: BLE001 - raised in the process that waits
                    unexpected.append(error)

        self._world.scheduler.side_by_side([lane] * min(self._workers, len(calls)))
        if unexpected:
            raise unexpected[0]
        return [answers[index] for index in range(len(calls))]


class TrueClock:
    """The services' clock."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def now(self) -> datetime:
        """Return the true time."""
        return self._scheduler.true_time()


class Silent:
    """Logger that nobody reads."""

    def bind(self, **context: str) -> Silent:
        """Stay silent."""
        return self

    def info(self, message: str, **fields: object) -> None:
        """Do nothing."""

    warning = info
    error = info


@dataclass
class Build:
    """One CodeBuild build."""

    order: BuildOrder
    ended: bool = False
    stopping: bool = False
    process: Process | None = None


@dataclass
class Execution:
    """One execution of the watchdog's state machine; ``ended_at`` is None while it runs."""

    state: dict[str, Any]
    ended_at: float | None = None


class World:
    """The services. ``doors`` are the engine's handlers, put in by ``functions``."""

    def __init__(self, random: Random, faults: Faults, scheduler: Scheduler, mutation: Mutation | None) -> None:
        self.random = random
        self.faults = faults
        self.scheduler = scheduler
        self.mutation: Mutation | None = mutation
        clock = TrueClock(scheduler)
        self.trace: list[str] | None = None
        self.row_written: Callable[[OrderRow | RunRow | None, OrderRow | RunRow], None] = lambda before, after: None
        self.runs = RecordedRuns(mutation, lambda before, after: self.row_written(before, after))
        self.locks = RecordedLocks(mutation)
        self.last_writes = RecordedLastWrites(self.runs, self.locks, mutation)
        self.plans = MemoryPlans(clock)
        self.groups = RecordedGroups(clock, mutation)
        self.applies: Mapping[str, Mapping[str, int]] = {}
        self.group_plan = GroupPlan()
        self.watchdogs_died_at: float | None = None
        self.ledgers = RecordedLedgers(clock, mutation)
        self.repository: Repository | None = None
        self.is_disturbed = False
        self.deliveries = MemoryDeliveries()
        self.bus_weather = Faults(Random(0), faults.profile, None)
        self.bus_refused: set[str] = set()
        self.host_refused = False
        self.announced: Callable[[Announcement], None] = lambda announcement: None
        self.objects = RecordedObjects(clock, mutation, self._object_created)
        self.done = RecordedObjects(clock, mutation)
        self.reports = MemoryReports()
        self.merges: tuple[str, ...] = ()
        self.merged: Callable[[int, str], object] = lambda number, commit: None
        self.reports.merge_host = MergingHost(self)
        self.sealer = MemorySealer()
        self.builds: dict[str, Build] = {}
        self.executions: dict[tuple[str, int], Execution] = {}
        self.doors: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self.worker_door: Callable[[Work | BuildOrder, str], object] = lambda work, execution: None
        self.chains = RecordedChains(mutation)
        self.build_stopped: Callable[[str, str], None] = lambda run_id, order_num: None
        self.session_has_ended: Callable[[], bool] = lambda: False
        self.trade_begins: Callable[[Trade], object] = lambda trade: None
        self.traded: Callable[[Trade, TradeAnswer, Any], None] = lambda trade, answer, begun: None
        self.build_started: Callable[[BuildOrder, str], None] = lambda order, build_id: None
        self.active: dict[str, int] = {}
        self.quotas = Quotas()
        self.functions_running = 0
        self.builds_running = 0
        self.queued_builds: list[Callable[[], None]] = []
        self.worker_starts: list[tuple[str, str, int]] = []
        self.result_written: Callable[[str], None] = lambda key: None
        self.process_ended: Callable[[Process], None] = lambda process: None
        self.idle: Callable[[str], None] = lambda run_id: None
        self.worker_started: Callable[[str, str], None] = lambda run_id, order_num: None
        self.watchdog_started: Callable[[str], None] = lambda run_id: None
        self.any_failed: set[str] = set()
        self.lost_records: set[str] = set()
        self._ports: dict[str, Port] = {}

    # -- what processes see ------------------------------------------------------------------------------------------

    def port(self, name: str, port: object) -> Any:
        """Return the port as processes see it."""
        return Port(self, name, port)

    def call(self, name: str, effect: Callable[[], Any]) -> Any:
        """Do one port call of the running process."""
        process = self.scheduler.current
        if process is None:
            return effect()
        faults = self.faults
        process.calls += 1
        fault = faults.at_call(self.scheduler.time, name, str(process))
        if self.trace is not None:
            self.trace.append(
                f"{self.scheduler.time:10.3f} {process} {name}{'' if fault is Fault.NONE else ' ' + fault}"
            )
        self.scheduler.pause(faults.stall() if fault is Fault.STALL else faults.latency())
        if fault is Fault.CRASH_BEFORE:
            self.scheduler.die()
        if fault is Fault.THROTTLE:
            raise Throttled(f"{name}: simulated throttling")
        if fault is Fault.FAIL:
            raise PortFailed(f"{name}: simulated loss of the connection", retry_is_safe=True)
        if fault is Fault.REFUSE:
            self.host_refused |= name.startswith("reports.")
            raise PortFailed(f"{name}: simulated refusal")
        if fault is Fault.REPEAT and name not in _NEVER_REPEATED and not name.startswith("http."):
            # The answer to botocore's first attempt was lost: its second one finds what the first has done.
            with suppress(IacCiError):
                effect()
        value, error = None, None
        try:
            value = effect()
        except Exception as raised:  # noqa: BLE001 - handed on after the pause
            error = raised
        self.scheduler.pause(faults.latency())
        if fault is Fault.CRASH_AFTER:
            self.scheduler.die()
        if fault is Fault.LOSE_ANSWER:
            raise PortFailed(f"{name}: simulated loss of the answer", retry_is_safe=True)
        if error is not None:
            raise error
        return value

    def now(self) -> datetime:
        """Return the running process's time (a ``Clock``)."""
        return self.scheduler.now()

    # -- S3 events ---------------------------------------------------------------------------------------------------

    def _object_created(self, key: str) -> None:
        if not (key.startswith(CALLBACK_PREFIX) and key.endswith(RESULT_SUFFIX)):
            return
        self.result_written(key)
        record = {"s3": {"object": {"key": quote(key)}}}
        about = key.removeprefix(CALLBACK_PREFIX).removesuffix("/" + RESULT_SUFFIX)
        self.invoke("orchestrator", about, {"Records": [record]})

    # -- Lambda ------------------------------------------------------------------------------------------------------

    def invoke(self, function: str, about: str, event: dict[str, Any]) -> None:
        """Call a function asynchronously: at least once, as a rule."""
        delays = self.faults.deliveries(self.scheduler.time)
        if not delays:
            self.any_failed.add(about[:28])
            if function == "watchdog":
                self.lost_records.add(about)
            if self.trace is not None:
                self.trace.append(f"{self.scheduler.time:10.3f} lost: {function} {about}")
        for delay in delays:
            self._attempt(function, about, event, 1, delay)

    def run_function(
        self,
        function: str,
        about: str,
        body: Callable[[], object],
        ended: Callable[[Process], None],
        *,
        delay: float,
        limit: float | None = None,
    ) -> Process:
        """Run one function in a process of its own."""
        run_id = about[:28]
        self.active[run_id] = self.active.get(run_id, 0) + (function in {"orchestrator", "init"})

        is_function = function != "build"

        def counted() -> object:
            self.functions_running += is_function
            return body()

        def done(process: Process) -> None:
            self.functions_running -= is_function
            self.process_ended(process)
            if self.trace is not None:
                self.trace.append(f"{self.scheduler.time:10.3f} {process} {process.ending} {process.error or ''}")
            if process.ending is not Ending.RETURNED:
                self.any_failed.add(run_id)
            ended(process)
            self.active[run_id] -= function in {"orchestrator", "init"}
            if self.active[run_id] == 0:
                self.idle(run_id)

        return self.scheduler.start(
            function,
            about,
            counted,
            delay=delay,
            limit=limit or LIMITS[function],
            skew=self.faults.skew(),
            ended=done,
        )

    def refuse_for_quota(self, run_id: str) -> None:
        """Note that the account could run no more for a run, which is a fault like others."""
        self.faults.last = self.scheduler.time
        self.any_failed.add(run_id)

    def _when_there_is_room(self, function: str, run_id: str, begin: Callable[[float], object], delay: float) -> None:
        """Begin a function after ``delay``, or later if the account may run no more then."""
        quota = self.quotas.functions
        if quota is None:
            begin(delay)
            return
        # What waits for room is as good as at work.
        at_work = function in {"orchestrator", "init"}
        self.active[run_id] = self.active.get(run_id, 0) + at_work

        def attempt(backoff: float) -> None:
            if self.functions_running < quota:
                self.active[run_id] -= at_work
                begin(0.0)
            else:
                self.refuse_for_quota(run_id)
                longer = min(2 * backoff, LONGEST_BACKOFF_SECONDS)
                self.scheduler.after(backoff * self.random.uniform(0.5, 1.0), partial(attempt, longer))

        self.scheduler.after(delay, partial(attempt, FIRST_BACKOFF_SECONDS))

    def _attempt(self, function: str, about: str, event: dict[str, Any], attempt: int, delay: float) -> None:
        request_id = f"request-{self.random.getrandbits(64):016x}"

        def ended(process: Process) -> None:
            if process.ending is Ending.RETURNED:
                return
            if attempt <= RETRIES[function]:
                self._attempt(function, about, event, attempt + 1, 60.0 * attempt)
            elif function == "worker" or "prepare" in event:
                # Of other tasks the watchdog only raises an alarm.
                reason = "Task timed out" if process.ending is Ending.DIED else str(process.error)
                envelope = {
                    "version": "1.0",
                    "requestContext": {
                        "requestId": request_id,
                        "functionArn": f"arn:aws:lambda:eu-west-1:000000000000:function:iac-ci-{function}:$LATEST",
                        "condition": "RetriesExhausted",
                        "approximateInvokeCount": attempt,
                    },
                    "requestPayload": event,
                    "responsePayload": {"errorMessage": reason},
                }
                self.invoke("watchdog", about, envelope)

        if function == "worker":
            work = Work.model_validate(event)

            def body() -> object:
                return self.worker_door(work, request_id)
        else:

            def body() -> object:
                return self.doors[function](event)

        def begin(after: float) -> None:
            self.run_function(function, about, body, ended, delay=after)

        self._when_there_is_room(function, about[:28], begin, delay)

    # -- Step Functions ----------------------------------------------------------------------------------------------

    def watchdogs_of(self, run_id: str) -> list[Execution]:
        """Return the run's executions, the newest last."""
        return [execution for (run, _), execution in sorted(self.executions.items()) if run == run_id]

    def watchdogs_die(self) -> None:
        """End every execution before its time, as a damaged state machine or a person does."""
        for execution in self.executions.values():
            if execution.ended_at is None:
                execution.ended_at = self.scheduler.time

    # -- ports that reach other services -----------------------------------------------------------------------------

    def preparations_start(self, run_id: str) -> None:
        """Ask init for its second leg."""
        self.invoke("init", run_id, {"schema_version": 1, "prepare": run_id})


class AsyncInvokerService:
    """Lambda, as the port ``AsyncInvoker``."""

    def __init__(self, world: World) -> None:
        self._world = world

    def prepare(self, run_id: str) -> None:
        """Ask for a preparation."""
        self._world.preparations_start(run_id)

    def process_event(self, trigger_id: str) -> None:
        """Ask for the processing of a stored event."""
        self._world.invoke("init", trigger_id, EventTask(trigger=trigger_id).model_dump(mode="json"))

    def plan_again(self, replan: Replan) -> None:
        """Ask for a plan that an apply has made stale."""
        self._world.invoke("init", replan.trigger_id, ReplanTask(replan=replan).model_dump(mode="json"))


class WorkersService:
    """Lambda and CodeBuild, as the port ``Workers``."""

    def __init__(self, world: World) -> None:
        self._world = world

    def start_lambda(self, work: Work) -> None:
        """Call the worker function."""
        self._note(work)
        self._world.invoke("worker", f"{work.run_id}/{work.order_num}", work.model_dump(mode="json"))

    def start_build(self, order: BuildOrder, *, timeout_seconds: int, compute_type: str | None = None) -> str:
        """Start a build; the same dispatch gives the same one."""
        self._note(order)
        world = self._world
        # In the form of AWS, by which a claim names its build.
        build_id = f"build:{uuid5(NAMESPACE_OID, f'{order.run_id}-{order.order_num}-{order.dispatch}')}"
        if build_id in world.builds:
            return build_id
        quota = world.quotas.builds
        if quota is not None and len(world.queued_builds) >= QUEUED_BUILDS * quota:
            world.refuse_for_quota(order.run_id)
            raise AtCapacity(f"StartBuild: AccountLimitExceededException: more than {QUEUED_BUILDS * quota} in queue")
        build = world.builds[build_id] = Build(order)

        def body() -> object:
            return world.worker_door(order, build_id)

        def ended(process: Process) -> None:
            self._has_ended(build)

        about = f"{order.run_id}/{order.order_num}"
        late = world.random.random() < world.faults.profile.late
        delay = world.random.uniform(40.0, 700.0) if late else world.random.uniform(2.0, 40.0)

        def begin() -> None:
            world.builds_running += 1
            build.process = world.run_function("build", about, body, ended, delay=delay, limit=float(timeout_seconds))

        if quota is None or world.builds_running < quota:
            begin()
        else:
            world.refuse_for_quota(order.run_id)
            world.queued_builds.append(begin)
        world.build_started(order, build_id)
        return build_id

    def stop_build(self, build_id: str) -> None:
        """Stop a build: it goes on for a while, and is then killed."""
        build = self._world.builds.get(build_id)
        if build is None or build.process is None or build.stopping:
            return
        build.stopping, process = True, build.process
        self._world.build_stopped(build.order.run_id, build.order.order_num)

        def kill() -> None:
            self._has_ended(build)
            self._world.scheduler.kill(process)

        self._world.scheduler.after(self._world.random.uniform(0.0, 60.0), kill)

    def _has_ended(self, build: Build) -> None:
        world, was_open = self._world, not build.ended
        build.ended = True
        world.builds_running -= was_open
        if was_open and world.queued_builds:
            world.queued_builds.pop(0)()

    def ended_builds(self, build_ids: Sequence[str], *, new: AbstractSet[str] = frozenset()) -> frozenset[str]:
        """Return the builds that have ended. Each is listed at once, so ``new`` changes nothing."""
        del new
        builds = self._world.builds
        return frozenset(build_id for build_id in build_ids if build_id not in builds or builds[build_id].ended)

    def _note(self, work: Work | BuildOrder) -> None:
        process = self._world.scheduler.current
        self._world.worker_started(work.run_id, work.order_num)
        self._world.worker_starts.append((work.run_id, work.order_num, process.root.number if process else 0))


class BrokerService:
    """Lambda, as the port ``Broker``: a function of its own, for whose answer the worker waits."""

    def __init__(self, world: World) -> None:
        self._world = world

    def trade(self, trade: Trade) -> TradeAnswer:
        """Trade as the AWS adapter does: whatever goes wrong, the same trade may be sent again."""
        try:
            return self._world.call("broker.trade", lambda: self.invoke(trade))
        except IacCiError as error:
            raise PortFailed(f"no answer from the broker: {error.message}", retry_is_safe=True) from error

    def invoke(self, trade: Trade) -> TradeAnswer:
        """Call the function and wait for its end."""
        world = self._world
        ends: list[Process] = []
        begun = world.trade_begins(trade)

        def body() -> object:
            answer = world.doors["broker"](trade.model_dump(mode="json"))
            # What the broker has answered counts, whether the answer arrives or not.
            world.traded(trade, TradeAnswer.from_stored(answer), begun)
            return answer

        def begin(go_on: Callable[[], None]) -> None:
            def ended(process: Process) -> None:
                ends.append(process)
                go_on()

            about = f"{trade.run_id}/{trade.order_num}"
            world.run_function("broker", about, body, ended, delay=world.faults.latency())

        world.scheduler.wait(begin)
        (process,) = ends
        if process.ending is not Ending.RETURNED:
            raise PortFailed(f"the broker ended: {process.error}")
        return TradeAnswer.from_stored(process.value)  # type: ignore[arg-type]


class WatchdogsService:
    """Step Functions, as the port ``Watchdogs``: one execution per number, each polling every minute."""

    def __init__(self, world: World) -> None:
        self._world = world

    def start(self, run_id: str, number: int) -> bool:
        """Start an execution, unless its name was used."""
        world, key = self._world, (run_id, number)
        if world.mutation == "run's watchdog":
            return True
        if key in world.executions:
            # AWS answers a repeated start as the first while it runs, some emulators do not.
            return world.executions[key].ended_at is None and world.random.random() < 0.5
        world.watchdog_started(run_id)
        world.executions[key] = Execution({"run_id": run_id, "order_num": "0000"})
        world.scheduler.after(POLL_SECONDS, lambda: self._poll(key, 0))
        return True

    def is_running(self, run_id: str, number: int) -> bool:
        """Return whether an execution runs; what has just ended may still seem to."""
        ended_at = self._world.executions[(run_id, number)].ended_at
        return ended_at is None or self._world.scheduler.time - ended_at < STALE_SECONDS

    def _poll(self, key: tuple[str, int], failed: int) -> None:
        """Do what terraform/deploy/stack/watchdog.asl.json does."""
        world, execution = self._world, self._world.executions[key]
        if execution.ended_at is not None:
            return
        event = {name: execution.state[name] for name in ("run_id", "order_num")} | {"state": execution.state}

        def ended(process: Process) -> None:
            if process.ending is not Ending.RETURNED:
                wait = (2.0 * (failed + 1), failed + 1) if failed < 2 else (POLL_SECONDS, 0)
                world.scheduler.after(wait[0], lambda: self._poll(key, wait[1]))
                return
            execution.state = execution.state | {"answer": json.loads(json.dumps(process.value))}
            if execution.state["answer"]["ended"] and execution.ended_at is None:
                execution.ended_at = world.scheduler.time
            world.scheduler.after(POLL_SECONDS, lambda: self._poll(key, 0))

        delay = world.faults.latency()
        world.run_function("watchdog", f"{key[0]}/0000", lambda: world.doors["watchdog"](event), ended, delay=delay)


class BusService:
    """The event bus. It draws its faults from a stream of its own, so that it changes no other call's."""

    def __init__(self, world: World) -> None:
        self._world = world

    def put(self, announcements: Sequence[Announcement]) -> None:
        """Accept announcements, unless the call fails."""
        world = self._world
        process = world.scheduler.current
        weather = world.bus_weather
        fault = weather.at_call(world.scheduler.time, "bus.put", str(process)) if process is not None else Fault.NONE
        if world.trace is not None:
            world.trace.append(f"{world.scheduler.time:10.3f} {process} bus.put {fault}")
        if fault is Fault.STALL:
            world.scheduler.pause(weather.stall())
        if fault is Fault.CRASH_BEFORE:
            world.scheduler.die()
        if fault is Fault.THROTTLE:
            raise Throttled("bus.put: simulated throttling")
        if fault is Fault.FAIL:
            raise PortFailed("bus.put: simulated loss of the connection", retry_is_safe=True)
        if fault is Fault.REFUSE:
            world.bus_refused.update(one.id for one in announcements)
            raise PortFailed("bus.put: simulated refusal")
        for _ in range(2 if fault is Fault.REPEAT else 1):
            for one in announcements:
                world.announced(one)
        if fault is Fault.CRASH_AFTER:
            world.scheduler.die()
        if fault is Fault.LOSE_ANSWER:
            raise PortFailed("bus.put: simulated loss of the answer", retry_is_safe=True)


class ReportsService:
    """The code host: comments by run."""

    def __init__(self, world: World) -> None:
        self._world = world

    def session(self) -> AbstractContextManager[None]:
        """Open nothing."""
        return self._world.reports.session()

    def publish(self, target: ReportTarget, **comment: Any) -> str:
        """Keep the comment."""
        return self._world.reports.publish(target, **comment)

    def mark(self, target: ReportTarget, status: CommitStatus) -> None:
        """Keep the status."""
        self._world.reports.mark(target, status)

    def mark_job(self, target: ReportTarget, own: CommitStatus, part: JobPart) -> None:
        """Keep the folded status."""
        self._world.reports.mark_job(target, own, part)

    def mark_planned(self, target: ReportTarget, own: CommitStatus, plans: Plans) -> None:
        """Keep the status of a job that waits for comments."""
        self._world.reports.mark_planned(target, own, plans)

    def report_drift(self, target: ReportTarget, drifts: Sequence[Drift]) -> list[ReportedDrift]:
        """Keep the issues."""
        return self._world.reports.report_drift(target, drifts)

    def notify_stale(
        self, target: ReportTarget, record: PlanRecord, by: ProjectApply, *, replans: bool = False
    ) -> bool:
        """Keep the comment."""
        return self._world.reports.notify_stale(target, record, by, replans=replans)

    def merge_applied(self, target: ReportTarget, commit: str) -> MergeReport:
        """Merge the pull request if it is time."""
        return self._world.reports.merge_applied(target, commit)

    def notify_planned_again(self, target: ReportTarget, record: PlanRecord) -> None:
        """Keep the comment."""
        self._world.reports.notify_planned_again(target, record)


__all__ = ["AsyncInvokerService", "BusService", "Port", "RunsPort", "Silent", "Threads", "WatchdogsService", "World"]
