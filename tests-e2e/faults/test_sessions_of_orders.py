"""The session that signed a worker's URLs ends at each step of an order: the order ends as its commands did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from faults.breaking_cloud import BreakingCloud
from faults.ending_sessions import Ending
from iac_ci_common import keys
from iac_ci_common.limits import LOG_IN_RESULT_BYTES
from iac_ci_common.models.trade import TicketChain
from iac_ci_common.states import OrderState
from iac_ci_local.ministack import Speed
from iac_ci_local.testing import folder_of_commands, log_of, submit, wait_for_end

pytestmark = pytest.mark.local_cloud

LONG = f"head -c {LOG_IN_RESULT_BYTES} /dev/zero | tr '\\0' x"
"""A command with which the log does not fit into the result, so that it is uploaded."""

STEPS = {
    "claim": ("PUT", "/claim.json"),
    "package": ("GET", "/exec.zip"),
    "log": ("PUT", ".log"),
    "result": ("PUT", "/result.json"),
}


@pytest.fixture(scope="module")
def cloud():
    with BreakingCloud(speed=Speed(wait_scale=0.05, retry_seconds=0.2)) as running:
        yield running


@pytest.fixture
def commands_folder():
    with folder_of_commands() as folder:
        yield folder


@pytest.fixture(autouse=True)
def nothing_ends_later(cloud):
    yield
    cloud.end_sessions(None)


def play(cloud: BreakingCloud, target: str, command: str) -> tuple[str, OrderState]:
    """Run an order of one command; return its run and its end."""
    order = {"order_name": "order", "cmds": [command], "timeout": 60, "execution_target": target}
    run_id = submit(cloud, {"username": "tests", "job_timeout": 600, "orders": [order]})
    (row,) = wait_for_end(cloud, run_id).orders
    return run_id, row.status


def chains(cloud: BreakingCloud, run_id: str) -> list[dict[str, object]]:
    table = cloud.aws.client("dynamodb").scan(TableName=cloud.stack.names.resource("locks"))["Items"]
    return [row for row in table if row["lock_key"]["S"].startswith(f"ticket:{run_id}:")]


@pytest.mark.parametrize("kind", ["session", "url"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("target", ["lambda", "codebuild"])
def test_an_order_ends_as_its_commands_did(cloud, commands_folder: Path, target, step, kind):
    starts = commands_folder / "starts"
    method, suffix = STEPS[step]
    cloud.end_sessions(Ending(kind, method=method, suffix=suffix))
    run_id, state = play(cloud, target, f"echo started | tee -a {starts}; {LONG}; echo; echo the whole log")
    assert cloud.presigned()["refused"] > 0
    assert state is OrderState.SUCCEEDED
    assert starts.read_text() == "started\n"
    assert "the whole log" in log_of(cloud, run_id)
    assert len(chains(cloud, run_id)) == 1


@pytest.mark.parametrize("target", ["lambda", "codebuild"])
def test_a_failed_command_is_reported_although_every_url_had_ended(cloud, target):
    cloud.end_sessions(Ending("session", method="PUT", suffix="/result.json"))
    run_id, state = play(cloud, target, "exit 7")
    assert state is OrderState.FAILED
    result = cloud.aws.client("s3").get_object(
        Bucket=cloud.stack.names.bucket("internal"), Key=keys.result(run_id, "0001")
    )
    assert json.loads(result["Body"].read())["exit_code"] == 7


def test_a_short_lambda_order_makes_no_chain_and_a_build_makes_one(cloud):
    run_id, state = play(cloud, "lambda", "true")
    assert (state, chains(cloud, run_id)) == (OrderState.SUCCEEDED, [])
    run_id, state = play(cloud, "codebuild", "true")
    (row,) = chains(cloud, run_id)
    assert state is OrderState.SUCCEEDED
    assert {"present", "before", "last_seen"} <= row.keys() & TicketChain.model_fields.keys()
