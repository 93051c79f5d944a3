"""What orders hand on between Lambda and CodeBuild, through the real path and under the deployed policies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from standins.test_orders import run

from iac_ci_common.states import OrderState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.ministack import Speed
from iac_ci_local.seed_secrets import read_secrets, seed

pytestmark = pytest.mark.local_cloud

SECRET = "planted-secret-of-the-stand-ins"
PLACE = "/iac-ci/jobs/sources/api/handed-on"


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud(speed=Speed(wait_scale=0.5, retry_seconds=0.1)) as running:
        yield running


def test_outputs_go_from_target_to_target_and_secrets_in_them_stay_masked(cloud: LocalCloud, tmp_path: Path) -> None:
    seed(cloud, read_secrets(tmp_path, [f"ssm:{PLACE}={SECRET}"]))
    found = run(
        cloud,
        {
            "order_name": "network",
            "cmds": ['echo "vpc_id=vpc-42" >> "$IAC_CI_OUTPUT"', 'echo "url=https://$TOKEN@db" >> "$IAC_CI_OUTPUT"'],
            "secrets": {"TOKEN": f"ssm:{PLACE}"},
        },
        {
            "order_name": "middle",
            "dependencies": ["network"],
            "cmds": ['echo "got $VPC_ID and $URL"', 'echo "again=$VPC_ID" >> "$IAC_CI_OUTPUT"'],
            "env_vars": {"VPC_ID": "{{ orders.network.vpc_id }}", "URL": "{{ orders.network.url }}"},
            "execution_target": "codebuild",
        },
        {
            "order_name": "end",
            "dependencies": ["middle"],
            "cmds": ['echo "at the end $VPC_ID"'],
            "env_vars": {"VPC_ID": "{{ orders.middle.again }}"},
        },
    )
    assert {name: state for name, (state, _) in found.items()} == dict.fromkeys(found, OrderState.SUCCEEDED)
    assert "got vpc-42 and ***" in found["middle"][1]
    assert "at the end vpc-42" in found["end"][1]
    assert not any(SECRET in log for _, log in found.values())


@pytest.mark.parametrize(("first", "second"), [("lambda", "codebuild"), ("codebuild", "lambda")])
def test_files_go_from_target_to_target(cloud: LocalCloud, first: str, second: str) -> None:
    found = run(
        cloud,
        {
            "order_name": "plan",
            "cmds": ["mkdir out; printf plan > out/tfplan; printf '#!/bin/sh\\necho ran' > out/run; chmod +x out/run"],
            "save": ["out/**"],
            "execution_target": first,
        },
        {
            "order_name": "apply",
            "dependencies": ["plan"],
            "restore": [{"order": "plan", "folder": "in"}],
            "cmds": ["cat in/out/tfplan; in/out/run"],
            "execution_target": second,
        },
    )
    assert {name: state for name, (state, _) in found.items()} == dict.fromkeys(found, OrderState.SUCCEEDED)
    assert "\nplanran\n" in found["apply"][1]
