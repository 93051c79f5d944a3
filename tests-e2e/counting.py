"""A whole engine in one process whose AWS calls are counted: on the real adapters, or in memory by AWS's own limits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import boto3
from botocore.config import Config

from iac_ci_common import keys
from iac_ci_common.accepted_jobs import AcceptedJobs
from iac_ci_common.aws.deliveries import DynamoDeliveries
from iac_ci_common.aws.last_writes import DynamoLastWrites
from iac_ci_common.aws.locks import DynamoLocks
from iac_ci_common.aws.objects import S3CodeStore, S3Objects
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.aws.transactions import MAX_ITEMS
from iac_ci_common.errors import IacCiError
from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.models.answer import Accepted
from iac_ci_common.models.done import DoneMarker
from iac_ci_common.models.result import Reporter, Result
from iac_ci_common.models.work import Work
from iac_ci_common.request import Request
from iac_ci_common.signature import HEADER, sign
from iac_ci_common.states import OrderState
from iac_ci_common.testing import (
    MemoryAsyncInvoker,
    MemoryCodeStore,
    MemoryDeliveries,
    MemoryEventBus,
    MemoryGroups,
    MemoryLastWrites,
    MemoryLocks,
    MemoryLogger,
    MemoryObjects,
    MemoryPlans,
    MemoryRuns,
    MemorySealer,
    MemorySecrets,
    MemoryWatchdogs,
    MemoryWorkers,
    Observed,
    Sequential,
)
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

T = TypeVar("T")

PAGE = 1000
"""Keys that one call lists or deletes (Amazon S3 API Reference, "ListObjectsV2", "DeleteObjects")."""


_RINGS = {"dynamodb.ring", "dynamodb.UpdateItem"}
_INVOKES = {"lambda.start_lambda"}


class EvenClock:
    """A clock that goes on by a millisecond whenever it is read: what is counted does not depend on the machine."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)

    def now(self) -> datetime:
        """Return the next millisecond."""
        self._now += timedelta(milliseconds=1)
        return self._now


class SideBySide:
    """Does independent calls one after another, and counts them as made at the same time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, calls: Sequence[Callable[[], T]]) -> list[T | IacCiError]:
        """Do all calls; of what comes one after another, the longest of them counts."""
        engine, began, longest = self._engine, self._engine.steps, 0
        answers: list[T | IacCiError] = []
        for call in calls:
            engine.steps = began
            answers += Sequential().run([call])
            longest = max(longest, engine.steps - began)
        engine.steps = began + longest
        return answers


class Engine:
    """Accepts a job and sees it through. A subclass says what the ports are; ``calls`` counts what they do to AWS.

    ``rows`` counts the rows that queries return: in memory only. ``steps`` counts calls that come one after
    another.
    """

    def __init__(
        self, runs: Any, locks: Any, last_writes: Any, deliveries: Any, internal: Any, done: Any, code: Any
    ) -> None:
        self.calls: Counter[str] = Counter()
        self.rows = 0
        self.steps = 0
        self.hops: list[int] = []
        """The steps from each event until a worker is invoked, and from there until its result."""
        self.parallel = SideBySide(self)
        self.internal, self.done = internal, done
        self.workers = MemoryWorkers()
        clock, logger = EvenClock(), MemoryLogger()
        self.bus = self.counted(MemoryEventBus(), "events")
        watchdogs, invoker = self.counted(MemoryWatchdogs(), "sfn"), self.counted(MemoryAsyncInvoker(), "lambda")
        secrets = MemorySecrets({"ssm:/webhook": "secret"})
        settings = InitSettings(
            internal_bucket="internal", orders_table="orders", events_table="events", locks_table="locks",
            done_bucket="done", kms_key_arn="key", watchdog_arn="arn", init_function="init",
            webhook_secrets=["ssm:/webhook"],
        )  # fmt: skip
        accepted = AcceptedJobs()
        self.door = JobIntake(
            JobIntakePorts(clock, deliveries, internal, watchdogs, invoker, secrets, accepted=accepted), settings
        )
        self.preparer = Preparer(
            PreparationPorts(
                clock, runs, MemoryLedgers(clock), internal, code, MemoryRepositories(), secrets, MemorySealer(),
                MemoryReports(), self.parallel, logger,
                JobTools(ToolReleases(internal, HttpDownloads()), OwnTools("/nonexistent")), accepted,
            ),
            100,
        )  # fmt: skip
        self.orchestrator = Orchestrator(
            OrchestratorPorts(
                clock, runs, locks, last_writes, internal, done, self.counted(self.workers, "lambda"), watchdogs,
                MemoryReports(), MemoryPlans(clock), invoker, MemoryGroups(clock), self.bus, self.parallel, logger,
                wait=lambda seconds: None,
            )
        )  # fmt: skip
        self.pace = 0
        """After so many calls of the orchestrator another result comes in though it is busy; 0: only when it is not."""
        self._looking = False
        self._since = 0
        self._event = 0

    def count(self, name: str, amount: int = 1) -> None:
        """Note calls; where a pace is set, let the results come in that would have come in the meantime."""
        self.calls[name] += amount
        self.steps += amount
        if name in _INVOKES:
            self.hops.append(self.steps - self._event)
        # The ring itself is left out: whoever came before it would not find the run held.
        if not self._looking or not self.pace or (name in _RINGS and self._since < 0):
            self._since = max(0, self._since)
            return
        self._since += amount
        # What happens beside the orchestrator does not make it slower.
        self._looking = False
        while self._since >= self.pace and self.workers.lambda_works:
            self._since -= self.pace
            self._end_next()
        self._looking = True

    def counted(self, port: Any, service: str) -> Any:
        return Observed(port, name=service, before=self.count)

    def run(self, orders: list[dict[str, Any]], **fields: Any) -> DoneMarker:
        body = json.dumps(
            {"username": "tests", "orders": [{"cmds": ["true"], "timeout": 60, **order} for order in orders], **fields}
        ).encode()
        signature = sign("secret", body, datetime.now(UTC))
        answer = self.door.accept(Request(body, {HEADER.lower(): signature}))
        self.run_id = Accepted.model_validate_json(answer).run_id
        self.preparer.prepare(self.run_id)
        self.orchestrator.wake(self.run_id, frozenset({RUN_ORDER_NUM}))
        while self.workers.lambda_works:
            began = self.steps
            num = self._work_next()
            self.hops[-1] += self.steps - began
            self._event = self.steps
            self._looking, self._since = True, -1
            self.orchestrator.wake(self.run_id, frozenset({num}))
            self._looking = False
        calls = self.calls.copy()
        marker = DoneMarker.model_validate_json(self.done.get(keys.done(self.run_id)))
        # It is read for the test: nothing of the engine reads it.
        self.calls = calls
        return marker

    def _end_next(self) -> None:
        self.orchestrator.wake(self.run_id, frozenset({self._work_next()}))

    def _work_next(self) -> str:
        work = self.workers.lambda_works.pop(0)
        self.work(work)
        return work.order_num

    def work(self, work: Work) -> None:
        """Do what a worker does to AWS: claim, fetch, report with the log."""
        place, now = (work.run_id, work.order_num), datetime.now(UTC)
        result = Result(
            run_id=work.run_id, order_num=work.order_num, status=OrderState.SUCCEEDED, reported_by=Reporter.WORKER,
            started_at=now, ended_at=now, exit_code=0,
        )  # fmt: skip
        self.internal.create(keys.claim(*place), b"{}")
        self.internal.get(keys.package(*place))
        self.internal.create(keys.result(*place), result.model_dump_json().encode())


class AwsEngine(Engine):
    """On the real adapters; only what would start a process is a double. Wants moto to stand for AWS."""

    def __init__(self) -> None:
        self.bytes_of_code = 0
        s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
        dynamodb = boto3.client("dynamodb")
        for bucket in ("internal", "done", "theirs"):
            s3.create_bucket(Bucket=bucket)
        for name, names in {
            "orders": ["run_id", "order_num"],
            "events": ["trace_id", "sort_key"],
            "locks": ["lock_key"],
        }.items():
            dynamodb.create_table(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                KeySchema=[
                    {"AttributeName": key, "KeyType": kind} for key, kind in zip(names, ("HASH", "RANGE"), strict=False)
                ],
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in names],
            )
        self.s3 = s3
        runs, locks = DynamoRuns(dynamodb, "orders", "events"), DynamoLocks(dynamodb, "locks")
        super().__init__(
            runs,
            locks,
            DynamoLastWrites(dynamodb, runs, locks),
            DynamoDeliveries(dynamodb, "locks"),
            S3Objects(s3, "internal"),
            S3Objects(s3, "done"),
            S3CodeStore(s3),
        )
        for client in (s3, dynamodb):
            client.meta.events.register("before-call", self._count_request)

    def _count_request(self, model: Any, params: Any, **_: Any) -> None:
        if model.name == "PutObject" and "/tmp/code/" in params["url_path"]:
            self.bytes_of_code += params["body"].getbuffer().nbytes
        self.count(f"{model.service_model.service_name}.{model.name}")


class MemoryEngine(Engine):
    """In memory, counted as the adapters would call: so many items in a transaction, so many keys in a listing."""

    def __init__(self) -> None:
        clock, locks = EvenClock(), MemoryLocks()
        runs = _Runs(self.count, self._count_rows)
        super().__init__(
            runs,
            self.counted(locks, "dynamodb"),
            _LastWrites(runs, locks, self.count),
            self.counted(MemoryDeliveries(), "dynamodb"),
            _Objects(clock, self.count),
            self.counted(MemoryObjects(clock), "s3"),
            MemoryCodeStore(),
        )

    def _count_rows(self, amount: int) -> None:
        self.rows += amount


class _Runs(MemoryRuns):
    def __init__(self, count: Callable[..., None], count_rows: Callable[[int], None]) -> None:
        super().__init__()
        self._count = count
        self._count_rows = count_rows

    def read(self, run_id: str) -> Any:
        self._count("dynamodb.Query")
        found = super().read(run_id)
        self._count_rows(len(found.orders) + (found.run is not None))
        return found

    def read_some(self, run_id: str, order_nums: Any) -> Any:
        self._count("dynamodb.BatchGetItem")
        found = super().read_some(run_id, order_nums)
        self._count_rows(len(found.orders) + (found.run is not None))
        return found

    def insert(self, run: Any, orders: Any, events: Any) -> bool:
        items = len(orders) + sum(event.order_num != RUN_ORDER_NUM for event in events)
        in_one = 1 + len(orders) + len(events) <= MAX_ITEMS
        self._count("dynamodb.TransactWriteItems", 1 if in_one else _pages(items, MAX_ITEMS) + 1)
        return super().insert(run, orders, events)

    def apply(self, transitions: Sequence[Any], *, whole: bool = False, unless_cancelled: bool = False) -> Any:
        # A transition and its event are in one transaction, whose last place may thus stay empty.
        calls, room, most = 0, 0, MAX_ITEMS - unless_cancelled
        for size in (1 + (transition.event is not None) for transition in transitions):
            if size > room:
                calls, room = calls + 1, most
            room -= size
        self._count("dynamodb.TransactWriteItems", calls)
        return super().apply(transitions, whole=whole, unless_cancelled=unless_cancelled)


class _LastWrites(MemoryLastWrites):
    def __init__(self, runs: _Runs, locks: MemoryLocks, count: Callable[..., None]) -> None:
        # What it does to the rows is part of its own call.
        plain = MemoryRuns()
        plain.run_rows, plain.order_rows, plain.event_rows = runs.run_rows, runs.order_rows, runs.event_rows
        super().__init__(plain, locks)
        self._count = count

    def write(self, *args: Any, **kwargs: Any) -> bool:
        self._count("dynamodb.TransactWriteItems")
        return super().write(*args, **kwargs)


class _Objects(MemoryObjects):
    def __init__(self, clock: Any, count: Callable[..., None]) -> None:
        super().__init__(clock)
        self._count = count

    def put(self, *args: Any, **kwargs: Any) -> None:
        self._count("s3.PutObject")
        super().put(*args, **kwargs)

    def get(self, *args: Any, **kwargs: Any) -> bytes:
        self._count("s3.GetObject")
        return super().get(*args, **kwargs)

    def list(self, *args: Any, **kwargs: Any) -> Any:
        found = super().list(*args, **kwargs)
        self._count("s3.ListObjectsV2", max(1, _pages(len(found), PAGE)))
        return found

    def delete(self, names: Sequence[str]) -> None:
        self._count("s3.DeleteObjects", _pages(len(names), PAGE))
        super().delete(names)


def _pages(amount: int, page: int) -> int:
    return -(-amount // page)


def independent(orders: int) -> list[dict[str, Any]]:
    return [{} for _ in range(orders)]


def chain(orders: int) -> list[dict[str, Any]]:
    return [{"dependencies": [f"order-{number:04d}"] if number else []} for number in range(orders)]
