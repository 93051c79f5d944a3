"""Whole runs through the real path: HTTP, API Gateway, Lambda, S3 event and back, under the deployed policies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iac_ci_common.states import OrderState, RunState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.ministack import Speed
from iac_ci_local.seed_secrets import read_secrets, seed
from iac_ci_local.testing import (
    done_marker,
    folder_of_commands,
    kill_function,
    post,
    runs,
    submit,
    wait_for_end,
    wait_until,
)

pytestmark = pytest.mark.local_cloud


@pytest.fixture(scope="module")
def quick() -> Iterator[LocalCloud]:
    """A cloud whose watchdogs look every second or so."""
    with LocalCloud(speed=Speed(wait_scale=0.02, retry_seconds=0.1)) as running:
        yield running


def job(*orders: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"username": "tests", "orders": [{"timeout": 60, **order} for order in orders], **fields}


def states_of(cloud: LocalCloud, run_id: str) -> dict[str, OrderState]:
    return {row.order_name: row.status for row in runs(cloud).read(run_id).orders}


@pytest.fixture
def writable() -> Iterator[Path]:
    """A folder in which commands of both targets may write."""
    with folder_of_commands() as folder:
        yield folder


def test_orders_run_in_their_order_on_both_targets(cloud: LocalCloud, writable: Path) -> None:
    said = writable / "said"
    said.touch()
    said.chmod(0o666)
    run_id = submit(
        cloud,
        job(
            {"order_name": "first", "cmds": [f"echo first >> {said}"]},
            {"order_name": "fragile", "cmds": ["exit 3"], "must_succeed": False},
            {
                "order_name": "second",
                "cmds": [f"echo second >> {said}"],
                "dependencies": ["first", "fragile"],
                "execution_target": "codebuild",
            },
            {"order_name": "third", "cmds": [f"echo third >> {said}"], "dependencies": ["second"]},
        ),
    )
    ended = wait_for_end(cloud, run_id)
    assert ended.run is not None
    assert ended.run.status is RunState.SUCCEEDED
    assert said.read_text("utf-8").split() == ["first", "second", "third"]
    marker = done_marker(cloud, run_id)
    assert marker is not None
    assert marker.summary == {OrderState.SUCCEEDED: 3, OrderState.FAILED: 1}


def test_a_failure_skips_what_depends_on_it(cloud: LocalCloud) -> None:
    run_id = submit(
        cloud,
        job(
            {"order_name": "broken", "cmds": ["exit 1"]},
            {"order_name": "after", "cmds": ["true"], "dependencies": ["broken"]},
        ),
    )
    ended = wait_for_end(cloud, run_id)
    assert ended.run is not None
    assert ended.run.status is RunState.FAILED
    assert states_of(cloud, run_id) == {"broken": OrderState.FAILED, "after": OrderState.SKIPPED}


def test_an_unsigned_job_is_refused_and_leaves_nothing(cloud: LocalCloud) -> None:
    s3, bucket = cloud.aws.client("s3"), cloud.stack.names.bucket("internal")
    before = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    body = json.dumps(job({"cmds": ["true"]})).encode()
    assert post(cloud, body, headers={}).status == 401
    assert post(cloud, b'{"username": "tests"}').status == 400
    assert s3.list_objects_v2(Bucket=bucket).get("Contents", []) == before


def test_secrets_reach_the_commands_and_nothing_else(cloud: LocalCloud, tmp_path: Path) -> None:
    secret = "obviously-not-a-secret-7391"
    seed(cloud, read_secrets(tmp_path, [f"ssm:/iac-ci/jobs/test/word={secret}"]))
    run_id = submit(
        cloud,
        job(
            *(
                {
                    "order_name": target,
                    "cmds": ['test "$WORD" = obviously-not-a-secret-"$((7390 + 1))"', 'echo "it is $WORD"'],
                    "secrets": {"WORD": "ssm:/iac-ci/jobs/test/word"},
                    "execution_target": target,
                }
                for target in ("lambda", "codebuild")
            )
        ),
    )
    ended = wait_for_end(cloud, run_id)
    assert {row.status for row in ended.orders} == {OrderState.SUCCEEDED}
    s3 = cloud.aws.client("s3")
    for name in ("internal", "done"):
        bucket = cloud.stack.names.bucket(name)
        for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]:
            assert secret.encode() not in s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read(), entry["Key"]
    for table in ("orders", "order-events", "locks"):
        items = cloud.aws.client("dynamodb").scan(TableName=cloud.stack.names.resource(table))["Items"]
        assert items
        assert secret not in json.dumps(items, default=str)


def test_a_missing_secret_ends_the_run_with_its_reason(cloud: LocalCloud) -> None:
    run_id = submit(cloud, job({"cmds": ["true"], "secrets": {"WORD": "ssm:/iac-ci/jobs/test/nowhere"}}))
    ended = wait_for_end(cloud, run_id)
    assert ended.run is not None
    assert ended.run.status is RunState.FAILED
    assert "nowhere" in (ended.run.preparation_error or "")


def test_a_worker_killed_mid_command_is_reported_at_once(quick: LocalCloud, tmp_path: Path) -> None:
    started = tmp_path / "started"
    run_id = submit(quick, job({"order_name": "killed", "cmds": [f"echo x >> {started}; sleep 300"], "timeout": 400}))
    wait_until(lambda: started.exists() and started.read_text("utf-8"), subject="the command's start")
    assert kill_function(quick, "worker") >= 1
    ended = wait_for_end(quick, run_id)
    assert states_of(quick, run_id) == {"killed": OrderState.FAILED}
    assert ended.run is not None
    assert ended.run.status is RunState.FAILED
    assert started.read_text("utf-8").count("x") == 1


@pytest.mark.slow
@pytest.mark.parametrize("function", ["orchestrator", "init-job"])
def test_a_function_killed_again_and_again_loses_nothing(quick: LocalCloud, tmp_path: Path, function: str) -> None:
    names = [f"order-{index}" for index in range(4)]
    run_id = submit(
        quick,
        job(
            *(
                {
                    "order_name": name,
                    "cmds": [f"echo {name} >> {tmp_path}/{name}"],
                    "dependencies": names[max(0, index - 1) : index],
                }
                for index, name in enumerate(names)
            )
        ),
    )
    killed = 0

    def kill_or_end() -> bool:
        nonlocal killed
        killed += kill_function(quick, function)
        return killed >= 3 or done_marker(quick, run_id) is not None

    wait_until(kill_or_end, subject=f"three ends of {function}, or the run's")
    ended = wait_for_end(quick, run_id)
    assert killed >= 1
    assert ended.run is not None
    assert ended.run.status is RunState.SUCCEEDED
    for name in names:
        assert (tmp_path / name).read_text("utf-8") == f"{name}\n"
