"""Copies of the stages, initialised once, and what Terraform plans and makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from terraform.stage import SECRET, STAGES, Stage, copy_of

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture(scope="session")
def stages(stand_in_provider: str, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Stage]:
    """Return all three stages, initialised with their state beside them. Not to be changed: tests copy them.

    They are planned and applied with the stand-in for the provider: the real one would want an account.
    """
    made = {
        name: copy_of(name, tmp_path_factory.mktemp("stages", numbered=True) / name, stand_in_provider)
        for name in STAGES
    }
    for stage in made.values():
        stage.keep_state_here()
    # With its key made first, as at a second deployment, a plan knows every policy to the letter.
    made["deploy"].run("apply", "-auto-approve", "-target=aws_kms_key.runs", webhook_secret=SECRET)
    return made


@pytest.fixture(scope="session")
def written(provider: str, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Stage]:
    """Return all three stages as they are written, with the real provider where its registry answers."""
    cache = {}
    if not provider:
        # The provider is downloaded once.
        folder = str(tmp_path_factory.mktemp("providers"))
        cache = {"TF_PLUGIN_CACHE_DIR": folder, "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "1"}
    made = {
        name: copy_of(name, tmp_path_factory.mktemp("written", numbered=True) / name, provider, cache)
        for name in STAGES
    }
    for stage in made.values():
        stage.run("init", "-backend=false")
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
