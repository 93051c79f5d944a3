"""Ledgers in DynamoDB and in memory, held to the same contract."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from moto import mock_aws

from iac_ci_common import keys
from iac_ci_common.errors import ConditionFailed
from iac_ci_common.testing import FakeClock
from iac_ci_common.testing.samples import RUN_ID
from iac_ci_common.testing.tables import make_table
from iac_ci_triggers.dynamo_ledgers import DynamoLedgers
from iac_ci_triggers.ledger import Ledger, StartedRun
from iac_ci_triggers.ports import Ledgers
from iac_ci_triggers.testing import MemoryLedgers

KEY = keys.pull_request_ledger("github.com/acme/infra", 7)


@dataclass
class Adapters:
    ledgers: Ledgers
    clock: FakeClock


@pytest.fixture(params=["memory", "aws"])
def adapters(request: pytest.FixtureRequest) -> Iterator[Adapters]:
    clock = FakeClock(datetime.now(UTC))
    if request.param == "memory":
        yield Adapters(MemoryLedgers(clock), clock)
        return
    with mock_aws():
        dynamodb = boto3.client("dynamodb")
        make_table(dynamodb, "locks", "lock_key")
        yield Adapters(DynamoLedgers(dynamodb, "locks", clock), clock)


@pytest.fixture
def new(adapters):
    return Ledger(key=KEY, expires_at=adapters.clock.now() + timedelta(days=1))


def test_what_was_written_is_read(adapters, new):
    assert adapters.ledgers.read(KEY) is None
    run = StartedRun(run_id=RUN_ID, job="plan", sha="a" * 40, intent="event", started_at=adapters.clock.now())
    written = adapters.ledgers.write(new.model_copy(update={"runs": (run,), "approved_sha": "b" * 40}))
    assert written.version == 1
    read = adapters.ledgers.read(KEY)
    assert (read.runs, read.approved_sha, read.version) == ((run,), "b" * 40, 1)
    assert read.run(RUN_ID) == run
    assert adapters.ledgers.read(keys.pull_request_ledger("github.com/acme/infra", 8)) is None


def test_of_two_who_read_the_same_one_writes(adapters, new):
    first = adapters.ledgers.write(new.model_copy(update={"approved_by": "one"}))
    with pytest.raises(ConditionFailed) as refused:
        adapters.ledgers.write(new.model_copy(update={"approved_by": "two"}))
    assert refused.value.retry_is_safe
    second = adapters.ledgers.write(first.model_copy(update={"approved_by": "three"}))
    with pytest.raises(ConditionFailed):
        adapters.ledgers.write(first.model_copy(update={"approved_by": "four"}))
    assert adapters.ledgers.read(KEY) == second


def test_an_expired_ledger_is_gone_though_it_still_stands(adapters, new):
    adapters.ledgers.write(new)
    adapters.clock.advance(86_401)
    assert adapters.ledgers.read(KEY) is None
    again = new.model_copy(update={"expires_at": adapters.clock.now() + timedelta(days=1)})
    assert adapters.ledgers.write(again).version == 1
