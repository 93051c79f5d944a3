"""What orders hand on between Lambda and CodeBuild, under the deployed policies and with real KMS contexts."""

from __future__ import annotations

from pathlib import Path

import pytest

from iac_ci_common.states import OrderState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.seed_secrets import read_secrets, seed
from standins.test_orders import run

pytestmark = pytest.mark.local_cloud

SECRET = "planted-secret-of-the-stand-ins"
PLACE = "/iac-ci/jobs/sources/api/handed-on"


def test_outputs_go_from_target_to_target_and_secrets_in_them_stay_masked(unkind: LocalCloud, tmp_path: Path) -> None:
    seed(unkind, read_secrets(tmp_path, [f"ssm:{PLACE}={SECRET}"]))
    found = run(
        unkind,
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
