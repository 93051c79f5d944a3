"""What a run costs in AWS calls: exact counts over init, orchestrator and worker, on the real adapters."""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

from iac_ci_common import keys
from iac_ci_common.aws.locks import DynamoLocks
from iac_ci_common.aws.objects import S3CodeStore, S3Objects
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.clock import SystemClock
from iac_ci_common.models.answer import Accepted
from iac_ci_common.models.done import DoneMarker
from iac_ci_common.signature import HEADER, sign
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing import (
    MemoryNotes,
    MemoryPreparations,
    MemoryReports,
    MemoryRepositories,
    MemorySealer,
    MemorySecrets,
    MemoryWatchdogs,
    MemoryWorkers,
    Observed,
    Sequential,
)
from iac_ci_init.act import Door, DoorPorts, PreparationPorts, Preparer
from iac_ci_init.doors import Request
from iac_ci_init.settings import InitSettings
from iac_ci_orchestrator.act import Orchestrator, Ports
from iac_ci_worker.act import Ports as WorkerPorts
from iac_ci_worker.act import Worker
from iac_ci_worker.decide import Ending, Outcome
from iac_ci_worker.settings import WorkerSettings


class ClientExchange:
    """The worker's four requests, made by the client whose calls are counted."""

    def __init__(self, objects: S3Objects, run_id: str, num: str) -> None:
        self.objects, self.place = objects, (run_id, num)

    def claim(self, urls, claim):
        self.objects.create(keys.claim(*self.place), claim.model_dump_json().encode())
        return True

    def fetch(self, url, path):
        path.write_bytes(self.objects.get(keys.package(*self.place)))

    def store_log(self, urls, path):
        self.objects.put(keys.log(*self.place), path.read_bytes())

    def report(self, urls, result):
        self.objects.create(keys.result(*self.place), result.model_dump_json().encode())


class InstantRunner:
    def run(self, commands, log, redactor):
        log.write_bytes(b"done\n")
        return Outcome(Ending.EXITED, 0, len(commands.cmds) - 1, len(commands.cmds))


class Stack:
    """The engine on real adapters, its calls counted; only what would start a process is a double."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
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
        for client in (s3, dynamodb):
            client.meta.events.register("before-call", self._count)
        clock, notes = SystemClock(), MemoryNotes()
        self.internal, self.done = S3Objects(s3, "internal"), S3Objects(s3, "done")
        runs, locks = DynamoRuns(dynamodb, "orders", "events"), DynamoLocks(dynamodb, "locks")
        secrets = MemorySecrets({"ssm:/webhook": "secret"})
        self.workers = MemoryWorkers()
        watchdogs, preparations = self._counted(MemoryWatchdogs(), "sfn"), self._counted(MemoryPreparations(), "lambda")
        settings = InitSettings(
            internal_bucket="internal", orders_table="orders", events_table="events", locks_table="locks",
            done_bucket="done", kms_key_arn="key", watchdog_arn="arn", init_function="init",
            webhook_secrets=["ssm:/webhook"],
        )  # fmt: skip
        self.door = Door(DoorPorts(clock, locks, self.internal, watchdogs, preparations, secrets), settings)
        self.preparer = Preparer(
            PreparationPorts(
                clock, runs, self.internal, S3CodeStore(s3), MemoryRepositories(), secrets, MemorySealer(),
                MemoryReports(), Sequential(), notes,
            ),
            100,
        )  # fmt: skip
        self.orchestrator = Orchestrator(
            Ports(
                clock, runs, locks, self.internal, self.done, self._counted(self.workers, "lambda"), watchdogs,
                MemoryReports(), Sequential(), notes,
            )
        )  # fmt: skip

    def _count(self, model: Any, params: Any, **_: Any) -> None:
        self.calls[f"{model.service_model.service_name}.{model.name}"] += 1
        if model.name == "PutObject" and "/tmp/code/" in params["url_path"]:
            self.bytes_of_code += params["body"].getbuffer().nbytes

    def _counted(self, port: Any, service: str) -> Any:
        return Observed(port, name=service, before=lambda name: self.calls.update([name]))

    def run(self, orders: list[dict[str, Any]]) -> DoneMarker:
        body = json.dumps(
            {"username": "tests", "orders": [{"cmds": ["true"], "timeout": 60, **order} for order in orders]}
        ).encode()
        signature = sign("secret", body, datetime.now(UTC))
        answer = self.door.accept(Request(body, {HEADER.lower(): signature}))
        run_id = Accepted.model_validate_json(answer).run_id
        self.preparer.prepare(run_id)
        self.orchestrator.wake(run_id, frozenset({"0000"}))
        while self.workers.lambda_works:
            work = self.workers.lambda_works.pop(0)
            exchange = ClientExchange(self.internal, run_id, work.order_num)
            ports = WorkerPorts(SystemClock(), exchange, MemorySealer(), InstantRunner(), MemoryNotes())
            worker = Worker(ports, WorkerSettings())
            assert worker.run(work) is OrderState.SUCCEEDED
            # The dearest case: no two results come together, so that every one costs a pass of its own.
            self.orchestrator.wake(run_id, frozenset({work.order_num}))
        return DoneMarker.model_validate_json(self.done.get(keys.done(run_id)))


@pytest.fixture
def stack(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with mock_aws():
        yield Stack()


def test_a_hundred_independent_orders_cost_at_most_thirteen_calls_each(stack):
    marker = stack.run([{} for _ in range(100)])
    assert marker.status is RunState.SUCCEEDED
    assert sum(stack.calls.values()) / 100 <= 13, stack.calls


def test_a_chain_of_fifty_costs_at_most_sixteen_calls_an_order(stack):
    marker = stack.run([{"dependencies": [f"order-{number:04d}"] if number else []} for number in range(50)])
    assert marker.status is RunState.SUCCEEDED
    assert sum(stack.calls.values()) / 50 <= 16, stack.calls


def test_one_tree_is_uploaded_once_for_fifty_orders(stack):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("main.bin", os.urandom(300_000))
    stack.s3.put_object(Bucket="theirs", Key="code.zip", Body=archive.getvalue())
    stack.run([{"s3_location": "s3://theirs/code.zip"} for _ in range(50)])
    assert 0 < stack.bytes_of_code <= 1.1 * len(archive.getvalue())
