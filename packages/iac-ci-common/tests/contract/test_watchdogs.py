"""The watchdog's executions, in memory and on moto's Step Functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto import mock_aws

from iac_ci_common.aws.watchdogs import StepFunctionWatchdogs
from iac_ci_common.keys import watchdog_name
from iac_ci_common.ports import Watchdogs
from iac_ci_common.testing import MemoryWatchdogs
from iac_ci_common.testing.samples import RUN_ID


@dataclass
class Machine:
    """A state machine whose executions run until ``end`` is called with their number."""

    watchdogs: Watchdogs
    end: Callable[[int], object]
    names: Callable[[], list[str]]


def _memory() -> Machine:
    watchdogs = MemoryWatchdogs()
    return Machine(
        watchdogs,
        lambda number: watchdogs.ended.add((RUN_ID, number)),
        lambda: [watchdog_name(*started) for started in watchdogs.started],
    )


def _aws() -> Machine:
    client: Any = boto3.client("stepfunctions", region_name="us-east-1")
    states = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}}
    arn = client.create_state_machine(
        name="iac-ci-watchdog", definition=json.dumps(states), roleArn="arn:aws:iam::123456789012:role/none"
    )["stateMachineArn"]
    prefix = arn.replace(":stateMachine:", ":execution:")
    return Machine(
        StepFunctionWatchdogs(client, arn),
        lambda number: client.stop_execution(executionArn=f"{prefix}:{watchdog_name(RUN_ID, number)}"),
        lambda: sorted(entry["name"] for entry in client.list_executions(stateMachineArn=arn)["executions"]),
    )


@pytest.fixture(params=["memory", "aws"])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    if request.param == "memory":
        yield _memory()
        return
    with mock_aws():
        yield _aws()


def test_a_first_start_runs(machine):
    assert machine.watchdogs.start(RUN_ID, 1)
    assert machine.watchdogs.is_running(RUN_ID, 1)
    assert machine.names() == [f"{RUN_ID}-0000"]


def test_a_second_start_starts_no_other(machine):
    machine.watchdogs.start(RUN_ID, 1)
    # While the first runs, AWS answers as before and some emulators that the name is taken.
    machine.watchdogs.start(RUN_ID, 1)
    assert machine.watchdogs.is_running(RUN_ID, 1)
    assert machine.names() == [f"{RUN_ID}-0000"]


def test_a_name_stays_taken_after_its_execution_has_ended(machine):
    machine.watchdogs.start(RUN_ID, 1)
    machine.end(1)
    assert not machine.watchdogs.start(RUN_ID, 1)
    assert not machine.watchdogs.is_running(RUN_ID, 1)
    assert machine.watchdogs.start(RUN_ID, 2)
    assert machine.watchdogs.is_running(RUN_ID, 2)
    assert machine.names() == [f"{RUN_ID}-0000", f"{RUN_ID}-0000-2"]


def test_a_number_that_was_never_started_does_not_run(machine):
    machine.watchdogs.start(RUN_ID, 1)
    assert not machine.watchdogs.is_running(RUN_ID, 2)
