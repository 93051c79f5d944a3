"""AWS on moto, and around it what AWS does with the engine: events, asynchronous calls, retries, failure records.

Time is virtual and functions run one after another: interleavings are the simulator's matter, this is about what each
single call does to the real tables and buckets. The functions are entered by their own handlers.
"""

from __future__ import annotations

import heapq
import io
import itertools
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
from botocore.config import Config

import iac_ci_broker.handler
import iac_ci_broker.wiring
import iac_ci_init.handler
import iac_ci_init.wiring
import iac_ci_orchestrator.handler
import iac_ci_orchestrator.wiring
import iac_ci_watchdog.handler
import iac_ci_watchdog.wiring
import iac_ci_worker.handler
import iac_ci_worker.wiring
from faults.injection import Died, Fault
from iac_ci_broker.act import Broker, BrokerPorts
from iac_ci_broker.hand_on import HandOn
from iac_ci_broker.module_tokens import ModuleTokens
from iac_ci_broker.start import OrderStart
from iac_ci_common.aws.deliveries import DynamoDeliveries
from iac_ci_common.aws.event_bus import EventBridgeBus
from iac_ci_common.aws.functions import LambdaAsyncInvoker
from iac_ci_common.aws.groups import DynamoGroups
from iac_ci_common.aws.last_writes import DynamoLastWrites
from iac_ci_common.aws.locks import DynamoLocks
from iac_ci_common.aws.objects import S3CodeStore, S3Objects
from iac_ci_common.aws.plans import DynamoPlans
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.aws.secrets import AwsSecrets
from iac_ci_common.aws.ticket_chains import DynamoTicketChains
from iac_ci_common.aws.watchdogs import StepFunctionWatchdogs
from iac_ci_common.aws.workers import AwsWorkers
from iac_ci_common.errors import AlreadyExists, PortFailed
from iac_ci_common.granted import SourceGrants
from iac_ci_common.grants import part_of
from iac_ci_common.models.result import Claim
from iac_ci_common.models.trade import Trade, TradeAnswer
from iac_ci_common.signature import HEADER, sign
from iac_ci_common.testing import FakeClock, MemoryLogger, MemorySealer, MemoryTargetRoles, Sequential
from iac_ci_init.downloads import HttpDownloads
from iac_ci_init.job_intake import JobIntake, JobIntakePorts
from iac_ci_init.job_tools import JobTools
from iac_ci_init.own_tools import OwnTools
from iac_ci_init.preparation import PreparationPorts, Preparer
from iac_ci_init.settings import InitSettings
from iac_ci_init.tool_releases import ToolReleases
from iac_ci_orchestrator.act import Orchestrator
from iac_ci_orchestrator.ports import OrchestratorPorts
from iac_ci_triggers.testing import MemoryLedgers
from iac_ci_vcs.testing import MemoryReports, MemoryRepositories
from iac_ci_watchdog.act import Watchdog
from iac_ci_watchdog.ports import WatchdogPorts
from iac_ci_worker.act import Worker, WorkerPorts
from iac_ci_worker.decide import Ending, Outcome
from iac_ci_worker.settings import WorkerSettings

SECRET = "the webhook's secret"
JOB_TIMEOUT = 900
POLL_SECONDS = 60
RETRIES = {"init": (60, 120), "orchestrator": (60, 120), "watchdog": (60, 120), "worker": ()}
"""Waits before Lambda calls a function again whose asynchronous call failed (AWS Lambda Developer Guide, "How Lambda
handles errors and retries with asynchronous invocation"); none for the worker."""


class Services:
    """Clients, tables and buckets; shared by the runs of one test, each of which has its own ids."""

    def __init__(self) -> None:
        self.s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
        self.dynamodb = boto3.client("dynamodb")
        self.ssm = boto3.client("ssm")
        self.functions = boto3.client("lambda")
        self.states = boto3.client("stepfunctions")
        self.events = boto3.client("events")
        self.events.create_event_bus(Name="runs")
        for bucket in ("internal", "done", "theirs"):
            self.s3.create_bucket(Bucket=bucket)
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as zipped:
            zipped.writestr("main.tf", "# nothing")
        self.s3.put_object(Bucket="theirs", Key="code.zip", Body=archive.getvalue())
        self.new_tables()
        self.ssm.put_parameter(Name="/iac-ci/webhook-secret", Value=SECRET, Type="SecureString")
        self.ssm.put_parameter(Name="/iac-ci/jobs/token", Value="a-secret-value", Type="SecureString")
        grants = json.dumps({"schema_version": 1, "secrets": {"api": ["token"]}})
        self.ssm.put_parameter(Name=f"/iac-ci/sources/{part_of('api')}", Value=grants, Type="String")
        role = boto3.client("iam").create_role(RoleName="any", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        for name in ("init", "worker"):
            self.functions.create_function(
                FunctionName=name, Runtime="python3.11", Role=role, Handler="x.y", Code={"ZipFile": archive.getvalue()}
            )
        definition = json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Succeed"}}})
        self.machine = self.states.create_state_machine(name="watchdog", definition=definition, roleArn=role)[
            "stateMachineArn"
        ]
        self.all = (self.s3, self.dynamodb, self.ssm, self.functions, self.states, self.events)

    def new_tables(self) -> None:
        """Begin with empty tables: moto copies whole tables in every transaction."""
        there = self.dynamodb.list_tables()["TableNames"]
        for name, names in {
            "orders": ["run_id", "order_num"],
            "events": ["trace_id", "sort_key"],
            "locks": ["lock_key"],
        }.items():
            if name in there:
                self.dynamodb.delete_table(TableName=name)
            self.dynamodb.create_table(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                KeySchema=[
                    {"AttributeName": key, "KeyType": kind} for key, kind in zip(names, ("HASH", "RANGE"), strict=False)
                ],
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in names],
            )


@dataclass
class Due:
    """Something that happens at a moment."""

    at: datetime
    number: int
    do: Callable[[], None]

    def __lt__(self, other: Due) -> bool:
        return (self.at, self.number) < (other.at, other.number)


class World:
    """One run and what befalls it."""

    def __init__(
        self, services: Services, fault: Fault, *, worker_dies: frozenset[str] = frozenset(), code: str = "code.zip"
    ) -> None:
        self.services, self.fault = services, fault
        self.clock = FakeClock(datetime.now(UTC).replace(microsecond=0))
        self.started_at = self.clock.now()
        self.worker_dies, self.code = worker_dies, code
        self.command_starts: list[str] = []
        self.run_ids: set[str] = set()
        self.answers: list[int] = []
        self.refusals: list[str] = []
        self.done_markers: Counter[str] = Counter()
        self.announced: Counter[str] = Counter()
        self.watching: dict[str, dict[str, Any]] = {}
        self.errors: list[str] = []
        self._due: list[Due] = []
        self._numbers = itertools.count()

    # -- time ---------------------------------------------------------------------------------------------------------

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._due, Due(self.clock.now() + timedelta(seconds=seconds), next(self._numbers), do))

    def go_on(self, horizon: timedelta) -> None:
        while self._due and self._due[0].at <= self.started_at + horizon:
            due = heapq.heappop(self._due)
            self.clock.advance(max(0.0, (due.at - self.clock.now()).total_seconds()))
            due.do()

    # -- what AWS does ------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Sit on the clients: what is written makes events, what is invoked runs; the fault comes after that."""
        for client in self.services.all:
            client.meta.events.register("before-parameter-build", self._note)
            client.meta.events.register("after-call", self._happened)
            self.fault.watch(client)

    def unwatch(self) -> None:
        for client in self.services.all:
            client.meta.events.unregister("before-parameter-build", self._note)
            client.meta.events.unregister("after-call", self._happened)
            client.meta.events.unregister("before-call", self.fault._before)
            client.meta.events.unregister("after-call", self.fault._after)

    def _note(self, params: Any, context: Any, **_: Any) -> None:
        context["iac_ci_request"] = dict(params)

    def _happened(self, http_response: Any, model: Any, context: Any, parsed: Any, **_: Any) -> None:
        if http_response.status_code >= 300:
            return
        request = context["iac_ci_request"]
        if model.name == "PutObject":
            key = request["Key"]
            if request["Bucket"] == "done":
                self.done_markers[key] += 1
            elif key.startswith("tmp/callbacks/runs/") and key.endswith("result.json"):
                event = {"Records": [{"s3": {"object": {"key": key}}}]}
                self.after(0.2, lambda: self._asynchronous("orchestrator", event))
        elif model.name == "PutEvents":
            self.announced.update(json.loads(entry["Detail"])["id"] for entry in request["Entries"])
        elif model.name == "Invoke":
            payload = json.loads(request["Payload"])
            self.after(0.1, lambda: self._asynchronous(request["FunctionName"], payload))
        elif model.name == "StartExecution" and request["name"] not in self.watching:
            self.watching[request["name"]] = json.loads(request["input"])
            self.after(POLL_SECONDS, lambda: self._poll(request["name"]))

    def _asynchronous(self, function: str, event: dict[str, Any], tries: int = 0) -> None:
        try:
            self._call(function, event)
        except (Exception, Died) as error:  # noqa: BLE001 - whatever leaves a function, Lambda goes on
            request = self.request
            self.errors.append(f"{function}: {error!r}")
            waits = RETRIES[function]
            if tries < len(waits):
                self.after(waits[tries], lambda: self._asynchronous(function, event, tries + 1))
            elif function in {"worker", "init"}:
                record = {
                    "requestContext": {
                        "requestId": request,
                        "functionArn": f"arn:aws:lambda:us-east-1:000000000000:function:iac-ci-{function}:$LATEST",
                        "condition": "RetriesExhausted",
                    },
                    "requestPayload": event,
                    "responsePayload": {"errorMessage": str(error) or type(error).__name__},
                }
                self.after(1, lambda: self._asynchronous("watchdog", record))

    def _poll(self, name: str) -> None:
        # What the state machine passes on: terraform/deploy/stack/watchdog.asl.json, "Parameters".
        state = self.watching[name]
        given = {"run_id": state["run_id"], "order_num": state["order_num"], "state": state}
        try:
            answer = json.loads(json.dumps(self._call("watchdog", given)))
        except (Exception, Died):  # noqa: BLE001 - the state machine catches everything
            answer = {"ended": False}
        else:
            self.watching[name] = state | {"answer": answer}
        if answer["ended"]:
            del self.watching[name]
        else:
            self.after(POLL_SECONDS, lambda: self._poll(name))

    def _call(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        handlers: dict[str, Callable[..., dict[str, Any]]] = {
            "init": iac_ci_init.handler.handler,
            "orchestrator": iac_ci_orchestrator.handler.handler,
            "watchdog": iac_ci_watchdog.handler.handler,
            "worker": iac_ci_worker.handler.handler,
        }
        place = "door" if function == "init" and "prepare" not in event else function
        self.request = f"call-{next(self._numbers)}"
        if function == "worker" and event["order_num"] in self.worker_dies:
            self.worker_dies -= {event["order_num"]}
            raise Died
        with self.fault.inside(place):
            return handlers[function](event, SimpleNamespace(aws_request_id=self.request))

    # -- the caller ---------------------------------------------------------------------------------------------------

    def submit(self, key: str) -> None:
        """Send the job as a careful caller does: again under the same key until it is accepted."""
        orders = [
            {"cmds": ["one"], "timeout": 300, "ssm_paths": ["/iac-ci/jobs/token"]},
            {"cmds": ["two"], "timeout": 300, "s3_location": f"s3://theirs/{self.code}", "dependencies": ["order-1"]},
            {"cmds": ["three"], "timeout": 300},
        ]
        named = [{"order_name": f"order-{number}", **order} for number, order in enumerate(orders, 1)]
        body = json.dumps({"username": "tests", "flow_label": key, "job_timeout": JOB_TIMEOUT, "orders": named})
        headers = {HEADER: sign(SECRET, body.encode(), self.clock.now()), "Idempotency-Key": key}
        try:
            answer = self._call("init", {"body": body, "headers": headers})
        except Died:
            answer = {"statusCode": 502, "body": "{}"}
        self.answers.append(answer["statusCode"])
        if answer["statusCode"] == 202:
            self.run_ids.add(json.loads(answer["body"])["run_id"])
        elif len(self.answers) < 6:
            self.refusals.append(answer["body"])
            self.after(2, lambda: self.submit(key))

    # -- the functions ------------------------------------------------------------------------------------------------

    def wire(self, monkeypatch: Any) -> None:
        """Build every function on the real adapters, as its own wiring does, with this world's clock."""
        services, clock, logger = self.services, self.clock, MemoryLogger()
        runs = DynamoRuns(services.dynamodb, "orders", "events")
        locks, deliveries = DynamoLocks(services.dynamodb, "locks"), DynamoDeliveries(services.dynamodb, "locks")
        internal, done = S3Objects(services.s3, "internal"), S3Objects(services.s3, "done")
        secrets = AwsSecrets(lambda: services.ssm, lambda: services.ssm)
        workers = AwsWorkers(lambda: services.functions, lambda: services.functions, "worker", "project")
        watchdogs = StepFunctionWatchdogs(services.states, services.machine)
        invoker = LambdaAsyncInvoker(services.functions, "init")
        reports = MemoryReports()
        plans = DynamoPlans(services.dynamodb, "locks", clock, clock.advance)
        settings = InitSettings(
            internal_bucket="internal", orders_table="orders", events_table="events", locks_table="locks",
            done_bucket="done", kms_key_arn="key", watchdog_arn=services.machine, init_function="init",
            webhook_secrets=["ssm:/iac-ci/webhook-secret"], sources="ssm:/iac-ci/sources",
        )  # fmt: skip
        door = JobIntake(JobIntakePorts(clock, deliveries, internal, watchdogs, invoker, secrets, logger), settings)
        preparer = Preparer(
            PreparationPorts(
                clock, runs, MemoryLedgers(clock), internal, S3CodeStore(services.s3), MemoryRepositories(), secrets,
                MemorySealer(), reports, Sequential(), logger,
                JobTools(ToolReleases(internal, HttpDownloads()), OwnTools("/nonexistent")),
            ),
            100,
        )  # fmt: skip
        orchestrator = Orchestrator(
            OrchestratorPorts(
                clock, runs, locks, DynamoLastWrites(services.dynamodb, runs, locks), internal, done, workers,
                watchdogs, reports, plans, invoker,
                DynamoGroups(services.dynamodb, "locks", clock, clock.advance),
                EventBridgeBus(services.events, "runs"), Sequential(), logger, wait=clock.advance,
            )
        )  # fmt: skip
        watchdog = Watchdog(WatchdogPorts(clock, runs, locks, internal, workers, invoker, Sequential(), logger))
        exchange = ClientExchange(internal)
        worker = Worker(
            WorkerPorts(
                clock, exchange, MemorySealer(), self, InvokedBroker(self), Beats(), logger, clock.advance,
            ),
            WorkerSettings(),
        )  # fmt: skip
        chains = DynamoTicketChains(services.dynamodb, "locks")
        grants = SourceGrants(secrets, "ssm:/iac-ci/sources")
        hand_on = HandOn("iac-ci", internal, MemorySealer())
        start = OrderStart("iac-ci", internal, MemorySealer(), MemoryTargetRoles(clock), grants, hand_on)
        broker = Broker(BrokerPorts(clock, runs, chains, internal, logger, start, ModuleTokens(secrets, None, {})))

        def run(work: Any, **named: Any) -> Any:
            self._now_running = f"{work.run_id}/{work.order_num}"
            return worker_run(work, **named)

        worker_run = worker.run
        monkeypatch.setattr(worker, "run", run)
        for module, name, value in (
            (iac_ci_init.wiring, "job_intake", door),
            (iac_ci_init.wiring, "preparer", preparer),
            (iac_ci_init.wiring, "logger", logger),
            (iac_ci_orchestrator.wiring, "orchestrator", orchestrator),
            (iac_ci_watchdog.wiring, "watchdog", watchdog),
            (iac_ci_worker.wiring, "worker", worker),
            (iac_ci_broker.wiring, "broker", broker),
        ):
            monkeypatch.setattr(module, name, lambda value=value: value)

    def run(self, commands: Any, log: Any, redactor: Any) -> Outcome:
        """Run an order's commands: they take twenty seconds."""
        self.command_starts.append(self._now_running)
        self.clock.advance(20)
        log.write_bytes(b"done\n")
        return Outcome(Ending.EXITED, 0, len(commands.cmds) - 1, len(commands.cmds))


class ClientExchange:
    """The worker's requests, made by the client on which the fault sits; URLs only name the object."""

    def __init__(self, objects: S3Objects) -> None:
        self.objects = objects

    def create_claim(self, url: str, claim: Any) -> None:
        self.objects.create(_key(url), claim.model_dump_json().encode())

    def read_claim(self, url: str) -> Any:
        return Claim.from_stored(self.objects.get(_key(url)))

    def fetch(self, url: str, path: Any) -> None:
        path.write_bytes(self.objects.get(_key(url)))

    def store_log(self, url: str, path: Any) -> None:
        self.objects.put(_key(url), path.read_bytes())

    def report(self, url: str, result: bytes) -> bool:
        try:
            self.objects.create(_key(url), result)
        except AlreadyExists:
            return False
        return True


def _key(url: str) -> str:
    path = url.partition("?")[0]
    return path.partition("/internal/")[2] or path.partition(".com/")[2]


class InvokedBroker:
    """The broker's function, whose calls are its own and not the worker's."""

    def __init__(self, world: World) -> None:
        self.world = world

    def trade(self, trade: Trade) -> TradeAnswer:
        fault = self.world.fault
        worker = fault.running
        try:
            with fault.inside("broker"):
                return TradeAnswer.from_stored(iac_ci_broker.handler.handler(trade.model_dump(mode="json"), None))
        except (Exception, Died) as error:
            raise PortFailed(f"no answer from the broker: {error!r}", retry_is_safe=True) from error
        finally:
            fault.running = worker


class Beats:
    """One heartbeat before the commands, so that every order trades."""

    @contextmanager
    def during(self, beat: Callable[[], float], first: float) -> Iterator[None]:
        beat()
        yield
