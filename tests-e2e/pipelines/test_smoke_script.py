"""The smoke script against a stack that stands, and against one that does not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from iac_ci_local.cloud import LocalCloud
from iac_ci_local.ministack import Speed

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.local_cloud


@pytest.fixture(scope="module")
def cloud():
    with LocalCloud("acme", speed=Speed(wait_scale=0.1, retry_seconds=0.1)) as running:
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


def test_a_stack_that_is_not_there_fails_in_plain_words(cloud):
    done = smoke(cloud, "other")
    assert done.returncode == 1
    assert "there is no stack other here" in done.stdout
    assert "the stack failed the checks above" in done.stderr
