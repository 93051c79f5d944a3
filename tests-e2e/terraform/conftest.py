"""Copies of the stages, initialised once, and what Terraform plans and makes of them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from terraform.stage import ROOT, SECRET, STAGES, Stage, copy_of

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture(scope="session")
def cli_configuration(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Which CLI configuration Terraform is to use; empty for its own."""
    if shutil.which("terraform") is None:
        if os.environ.get("CI"):
            pytest.fail("terraform is not on PATH, and CI must not pass without it")
        pytest.skip("terraform is not on PATH")
    # One process asks: what is laid out must not change under the feet of another that already runs.
    base = tmp_path_factory.getbasetemp()
    answer = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "terraform-cli-configuration"
    with answer.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        known = file.read()
        if not known:
            done = subprocess.run([ROOT / ".ci/terraform"], capture_output=True, text=True, check=True, timeout=300)
            known = f"{done.stdout.strip()}\n"
            file.write(known)
    return known.strip()


@pytest.fixture(scope="session")
def stages(cli_configuration: str, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Stage]:
    """Return all three stages, initialised with their state beside them. Not to be changed: tests copy them."""
    made = {
        name: copy_of(name, tmp_path_factory.mktemp("stages", numbered=True) / name, cli_configuration)
        for name in STAGES
    }
    for stage in made.values():
        stage.keep_state_here()
    # With its key made first, as at a second deployment, a plan knows every policy to the letter.
    made["deploy"].run("apply", "-auto-approve", "-target=aws_kms_key.runs", webhook_secret=SECRET)
    return made


@pytest.fixture(scope="session")
def plans(stages: Mapping[str, Stage]) -> Mapping[str, dict[str, Any]]:
    """Return the plan of each stage as JSON."""
    return {name: stage.plan(**secrets(name)) for name, stage in stages.items()}


@pytest.fixture(scope="session")
def applied(stages: Mapping[str, Stage], plans: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Return the stage ``deploy`` with its plan applied. Not to be changed: tests copy it."""
    stage = stages["deploy"].copy(tmp_path_factory.mktemp("applied") / "deploy")
    stage.run("apply", "plan.bin")
    return stage


@pytest.fixture(scope="session")
def deployed(applied: Stage) -> Mapping[str, dict[str, Any]]:
    """Return every resource that was applied by its address, with the ARNs that only applying makes."""
    resources = applied.state()["values"]["root_module"]["resources"]
    return {resource["address"]: resource["values"] for resource in resources}


def secrets(stage: str) -> dict[str, str]:
    """Return the variables that no file holds."""
    return {"webhook_secret": SECRET} if stage == "deploy" else {}
