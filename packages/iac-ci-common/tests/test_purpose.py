from __future__ import annotations

import pytest

from iac_ci_common.purpose import Purpose, purpose


@pytest.mark.parametrize(
    ("name", "cmds", "found"),
    [
        ("check", ["terraform plan -out=plan.bin"], Purpose.PLAN),
        ("plan", ["./run.sh"], Purpose.PLAN),
        ("plan-network", ["make check"], Purpose.PLAN),
        ("check", ["terraform plan -out=p && terraform apply p"], Purpose.APPLY),
        ("apply", ["./run.sh"], Purpose.APPLY),
        ("network", ["./apply.sh"], Purpose.APPLY),
        ("plan", ["terraform plan -destroy"], Purpose.APPLY),
        ("network", ["TERRAFORM APPLY"], Purpose.APPLY),
        ("adopt", ["terraform import a b"], Purpose.APPLY),
        ("network", ["./deploy.sh"], None),
        ("network", ["./deploy.sh plan.bin"], None),
        ("network", ["pulumi up --yes --plan plan.json"], None),
        ("plan-and-deploy", ["cdktn plan network", "cdktn deploy network --auto-approve"], None),
        ("plan", ["terraform init -upgrade", "terraform plan"], Purpose.PLAN),
        ("planet", ["./explanation"], None),
        ("reapplying", ["./important"], None),
    ],
)
def test_plans_and_applies_are_told_apart_by_what_their_author_wrote(name, cmds, found):
    assert purpose(name, cmds) is found
