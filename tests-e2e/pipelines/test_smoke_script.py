"""The smoke script against a stack that stands, and against one that does not."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from smoke import test_parts

from iac_ci_local.cloud import LocalCloud
from iac_ci_local.ministack import Speed

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.local_cloud


@pytest.fixture(scope="module")
def cloud():
    with LocalCloud("acme", speed=Speed(wait_scale=0.1, retry_seconds=0.1)) as running:
        # As an operator may have it: worker_memory_mb, and lists that leave no room for a variable.
        functions = running.aws.client("lambda")
        functions.update_function_configuration(FunctionName="acme-worker", MemorySize=2048)
        of_init = functions.get_function_configuration(FunctionName="acme-init-job")["Environment"]["Variables"]
        del of_init["IAC_CI_SECRET_ALLOW_LIST"]
        functions.update_function_configuration(FunctionName="acme-init-job", Environment={"Variables": of_init})
        yield running


def smoke(cloud, stack):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")} | {
        "AWS_ENDPOINT_URL": cloud.aws.endpoint,
        "AWS_ACCESS_KEY_ID": cloud.aws.access_key,
        "AWS_SECRET_ACCESS_KEY": cloud.aws.secret_key,
    }
    return subprocess.run(
        [ROOT / "pipelines/smoke", "--stack", stack, "--region", cloud.aws.session["region_name"]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=1500,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.timeout(1800)
def test_a_stack_that_works_passes(cloud):
    done = smoke(cloud, "acme")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "27 passed, 2 skipped" in done.stdout
    assert "Next: pipelines/archive --stack acme" in done.stderr


@pytest.mark.parametrize(
    ("of_builds", "is_own", "passes"),
    [("one", False, True), ("other", True, True), ("other", False, False), ("one", True, False)],
)
def test_builds_have_the_image_that_the_operator_chose(of_builds, is_own, passes):
    image, tools = {"image": of_builds}, json.dumps({"builds_have_own_image": is_own})
    services = SimpleNamespace(
        batch_get_projects=lambda names: {"projects": [{"environment": image}]},
        get_function=lambda FunctionName: {"Code": {"ImageUri": "one"}},  # noqa: N803 - as boto3 calls it
    )
    connection = SimpleNamespace(parameter={"tools": tools}.__getitem__)
    stack = SimpleNamespace(name="acme", client=lambda _: services, function=str, connection=connection)
    with contextlib.nullcontext() if passes else pytest.raises(AssertionError):
        test_parts.test_the_build_project_runs_the_same_image_or_its_own(stack)


def test_a_stack_that_is_not_there_fails_in_plain_words(cloud):
    done = smoke(cloud, "other")
    assert done.returncode == 1
    assert "there is no stack other here" in done.stdout
    assert "the stack failed the checks above" in done.stderr
