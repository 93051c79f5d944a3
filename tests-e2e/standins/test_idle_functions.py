"""Functions that nobody called for weeks: what the engine loses while they wake, and what it does not.

90 seconds are six here, and the pauses of ``iac-ci submit`` shrink with them. The engine's own waits stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from iac_ci_cli import jobs, sending
from iac_ci_cli.connection import local_connection
from iac_ci_common.states import OrderState, RunState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.functions.settings import FunctionSettings
from iac_ci_local.ministack import Speed
from iac_ci_local.testing import post, runs, wait_for_end, wait_until

pytestmark = pytest.mark.local_cloud

ALL = ("init-job", "orchestrator", "watchdog-check", "worker", "broker")
SCALE = 6 / 90
JOB = {
    "username": "tests",
    "job_timeout": 600,
    "orders": [
        {"order_name": "function", "cmds": ["true"], "timeout": 60},
        {"order_name": "build", "cmds": ["true"], "timeout": 60, "execution_target": "codebuild"},
    ],
}


@pytest.fixture(scope="module")
def idle() -> Iterator[LocalCloud]:
    functions = FunctionSettings(inactive=ALL, inactive_seconds=90 * SCALE)
    with LocalCloud(speed=Speed(wait_scale=0.1, retry_seconds=0.5), functions=functions) as cloud:
        yield cloud


def test_an_endpoint_that_is_idle_for_90_seconds_loses_no_job_of_the_command_line(
    idle: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps(JOB).encode()
    # A code host or another caller that does not repeat gets an error, and nothing was accepted.
    assert post(idle, body).status == 500
    monkeypatch.setattr(sending, "PAUSES", tuple(pause * SCALE for pause in sending.PAUSES))
    accepted = jobs.submit(local_connection(idle.state()), body)
    # The worker, the watchdog and the broker wake one after the other, each when it is called first.
    rows = wait_for_end(idle, accepted.run_id)
    assert rows.run is not None
    assert rows.run.status is RunState.SUCCEEDED
    assert {order.order_name: order.status for order in rows.orders} == {
        "function": OrderState.SUCCEEDED,
        "build": OrderState.SUCCEEDED,
    }
    # The job that was sent several times is one run.
    found = idle.aws.client("s3").list_objects_v2(Bucket=idle.stack.names.bucket("internal"), Prefix="tmp/jobs/")
    assert [entry["Key"] for entry in found["Contents"]] == [f"tmp/jobs/{accepted.run_id}/job.json"]
    assert runs(idle).read(accepted.run_id).run is not None


def test_the_tick_wakes_every_function(idle: LocalCloud) -> None:
    names = idle.stack.names
    functions = idle.aws.client("lambda")
    event = {
        "source": "aws.events",
        "detail-type": "Scheduled Event",
        "resources": [names.arn("events", f"rule/{names.resource('tick')}")],
        "detail": {},
    }
    answers: dict[str, Any] = {}
    refusals = (
        functions.exceptions.CodeArtifactUserPendingException,
        functions.exceptions.ResourceConflictException,
    )

    def answered(name: str) -> bool:
        try:
            answer = functions.invoke(FunctionName=names.resource(name), Payload=json.dumps(event).encode())
        except refusals:
            # EventBridge invokes asynchronously: Lambda keeps the event until the function is awake.
            return False
        assert "FunctionError" not in answer, name
        answers[name] = json.loads(answer["Payload"].read())
        return True

    for name in ALL:
        wait_until(partial(answered, name), subject=f"the answer of {name}")
    assert answers == {
        "init-job": {"accepted": True, "begun": 0, "requests": 0},
        "orchestrator": {"runs": 0},
        "watchdog-check": {"active": True},
        "worker": {"active": True},
        "broker": {"active": True},
    }
    # Another rule starts nothing.
    event["resources"] = [names.arn("events", "rule/other")]
    answer = functions.invoke(FunctionName=names.resource("init-job"), Payload=json.dumps(event).encode())
    assert json.loads(answer["Payload"].read()) == {"accepted": False}
    rules = idle.aws.client("events").list_targets_by_rule(Rule=names.resource("tick"))
    assert {target["Id"] for target in rules["Targets"]} == set(ALL)
