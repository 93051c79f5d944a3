"""Both families of adapters, to be held to the same contract."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

from iac_ci_common.aws.commit_jobs import DynamoCommitJobs
from iac_ci_common.aws.deliveries import DynamoDeliveries
from iac_ci_common.aws.event_bus import EventBridgeBus
from iac_ci_common.aws.groups import DynamoGroups
from iac_ci_common.aws.history import FORMER_INDEX, INDEX, DynamoHistory
from iac_ci_common.aws.last_writes import DynamoLastWrites
from iac_ci_common.aws.locks import DynamoLocks
from iac_ci_common.aws.objects import S3Objects
from iac_ci_common.aws.plans import DynamoPlans
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.aws.secrets import AwsSecrets
from iac_ci_common.aws.ticket_chains import DynamoTicketChains
from iac_ci_common.clock import SystemClock
from iac_ci_common.models.announcement import Announcement
from iac_ci_common.ports import (
    CommitJobs,
    Deliveries,
    EventBus,
    Groups,
    History,
    LastWrites,
    Objects,
    Plans,
    Runs,
    Secrets,
    TicketChains,
)
from iac_ci_common.testing import (
    MemoryCommitJobs,
    MemoryDeliveries,
    MemoryEventBus,
    MemoryGroups,
    MemoryHistory,
    MemoryLastWrites,
    MemoryLocks,
    MemoryObjects,
    MemoryPlans,
    MemoryRuns,
    MemorySecrets,
    MemoryTicketChains,
    Sequential,
)
from iac_ci_common.testing.tables import make_table


@dataclass
class Adapters:
    objects: Objects
    runs: Runs
    locks: DynamoLocks | MemoryLocks
    last_writes: LastWrites
    deliveries: Deliveries
    secrets: Secrets
    chains: TicketChains
    commit_jobs: CommitJobs
    plans: Plans
    history: History
    groups: Groups
    bus: EventBus
    received: Callable[[], list[Announcement]]


INDEXES = {INDEX: ("job_day", "epoch_ms"), FORMER_INDEX: ("order_name", "epoch_ms")}


def queue_of(bus: str) -> Callable[[], list[Announcement]]:
    """Create a bus whose events come into a queue; return what reads them."""
    events, sqs = boto3.client("events"), boto3.client("sqs")
    events.create_event_bus(Name=bus)
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    url = sqs.create_queue(QueueName=f"{bus}.fifo", Attributes=fifo)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="all", EventBusName=bus, EventPattern='{"source": ["iac-ci"]}')
    target = {"Id": "queue", "Arn": arn, "SqsParameters": {"MessageGroupId": "all"}}
    events.put_targets(Rule="all", EventBusName=bus, Targets=[target])

    def received() -> list[Announcement]:
        found = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1).get("Messages", []):
            found += [json.loads(message["Body"]) for message in messages]
            sqs.delete_message(QueueUrl=url, ReceiptHandle=messages[0]["ReceiptHandle"])
        assert all(event["detail-type"] == event["detail"]["kind"] for event in found)
        return [Announcement.from_stored(event["detail"]) for event in found]

    return received


@pytest.fixture(params=["memory", "aws"])
def adapters(request: pytest.FixtureRequest) -> Iterator[Adapters]:
    values = {"ssm:/iac-ci/jobs/one": "plain", "secretsmanager:iac-ci/jobs/two": '{"key": "value"}'}
    if request.param == "memory":
        runs, bus, locks = MemoryRuns(), MemoryEventBus(), MemoryLocks()
        yield Adapters(
            MemoryObjects(SystemClock()),
            runs,
            locks,
            MemoryLastWrites(runs, locks),
            MemoryDeliveries(),
            MemorySecrets(values),
            MemoryTicketChains(),
            MemoryCommitJobs(SystemClock()),
            MemoryPlans(SystemClock()),
            MemoryHistory(runs, SystemClock()),
            MemoryGroups(SystemClock()),
            bus,
            lambda: bus.announcements,
        )
        return
    with mock_aws():
        s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
        s3.create_bucket(Bucket="internal")
        dynamodb = boto3.client("dynamodb")
        make_table(dynamodb, "orders", "run_id", "order_num")
        make_table(dynamodb, "events", "trace_id", "sort_key", indexes=INDEXES)
        make_table(dynamodb, "locks", "lock_key")
        ssm, secrets = boto3.client("ssm"), boto3.client("secretsmanager")
        ssm.put_parameter(Name="/iac-ci/jobs/one", Value="plain", Type="SecureString")
        secrets.create_secret(Name="iac-ci/jobs/two", SecretString='{"key": "value"}')
        stored, held = DynamoRuns(dynamodb, "orders", "events"), DynamoLocks(dynamodb, "locks")
        yield Adapters(
            S3Objects(s3, "internal"),
            stored,
            held,
            DynamoLastWrites(dynamodb, stored, held),
            DynamoDeliveries(dynamodb, "locks"),
            AwsSecrets(lambda: ssm, lambda: secrets),
            DynamoTicketChains(dynamodb, "locks"),
            DynamoCommitJobs(dynamodb, "locks", SystemClock()),
            DynamoPlans(dynamodb, "locks", SystemClock(), lambda _: None),
            DynamoHistory(dynamodb, "events", SystemClock(), Sequential()),
            DynamoGroups(dynamodb, "locks", SystemClock(), lambda _: None),
            EventBridgeBus(boto3.client("events"), "runs"),
            queue_of("runs"),
        )


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("dynamodb")
        make_table(client, "orders", "run_id", "order_num")
        make_table(client, "events", "trace_id", "sort_key", indexes=INDEXES)
        make_table(client, "locks", "lock_key")
        yield client


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
