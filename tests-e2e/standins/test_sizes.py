"""An order with a size runs in a build with the machine of that size."""

from __future__ import annotations

import json

import boto3
import pytest

from iac_ci_local.cloud import LocalCloud
from iac_ci_local.testing import post, runs, submit, wait_for_end, wait_until

pytestmark = pytest.mark.local_cloud


def test_an_order_with_a_size_is_built_on_its_machine(unkind: LocalCloud) -> None:
    orders = [
        {"order_name": "large", "cmds": ["sleep 600"], "timeout": 700, "size": "large"},
        {"order_name": "plain", "cmds": ["sleep 600"], "timeout": 700, "execution_target": "codebuild"},
    ]
    run_id = submit(unkind, {"username": "tests", "orders": orders})
    builds: dict[str, str] = {}

    def both_run() -> bool:
        builds.update({row.build_id: row.order_name for row in runs(unkind).read(run_id).orders if row.build_id})
        return len(builds) == len(orders)

    wait_until(both_run, subject="two builds")
    service = boto3.client(
        "codebuild",
        region_name="us-east-1",
        endpoint_url=unkind.aws.builds_endpoint,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    found = service.batch_get_builds(ids=list(builds))["builds"]
    assert {builds[build["id"]]: build["environment"]["computeType"] for build in found} == {
        "large": "BUILD_GENERAL1_LARGE",
        "plain": "BUILD_GENERAL1_SMALL",
    }
    for build in builds:
        service.stop_build(id=build)
    wait_for_end(unkind, run_id)


def test_another_size_is_refused_with_the_list(unkind: LocalCloud) -> None:
    job = {"username": "tests", "orders": [{"cmds": ["true"], "timeout": 60, "size": "huge"}]}
    answer = post(unkind, json.dumps(job).encode())
    assert answer.status == 400
    assert "its sizes: 2xlarge, large, medium, small, xlarge" in json.dumps(answer.body)
