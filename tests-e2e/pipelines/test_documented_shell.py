"""What deploy.md tells an operator to type works in a shell that has credentials and nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from offline.provider.start import SERVER

from iac_ci_local.cloud import LocalCloud
from iac_ci_local.ministack import Speed

pytestmark = pytest.mark.local_cloud

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    line.removeprefix("$ ")
    for line in (ROOT / "docs" / "deploy.md").read_text("utf-8").splitlines()
    if line.startswith("$ ")
]


def typed(commands, environment, folder):
    """Type commands into one shell, which ends at the first that fails; return its code and what was printed."""
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(commands)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1700,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout + done.stderr


def credentials(aws):
    """Return an environment with credentials and the way to the local AWS: no region, no stack, no image."""
    return {
        "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
        "HOME": os.environ["HOME"],
        "AWS_ACCESS_KEY_ID": aws.access_key,
        "AWS_SECRET_ACCESS_KEY": aws.secret_key,
        "AWS_ENDPOINT_URL": aws.endpoint,
    }


def test_the_scripts_need_nothing_that_the_page_does_not_set(operator):
    first = COMMANDS.index("pipelines/all")
    assert COMMANDS[:first] == [
        "export AWS_REGION=eu-central-1",
        "pipelines/deploy --check",
        "export AWS_REGION=eu-central-1",
        "pipelines/all --plan",
    ]
    machine = {name: operator.environment[name] for name in ("UV_PROJECT_ENVIRONMENT", "TF_CLI_CONFIG_FILE", SERVER)}
    environment = credentials(operator.aws) | machine | {"IAC_CI_UNPINNED": "yes"}
    code, printed = typed(COMMANDS[:first], environment, operator.checkout)
    assert code == 0, printed
    assert f"deploy --check: iac-ci in eu-central-1, account {operator.aws.account}" in printed
    assert printed.count("planned only, nothing was changed") == 3
    assert operator.bucket not in [bucket["Name"] for bucket in operator.aws.client("s3").list_buckets()["Buckets"]]


def test_the_command_line_reads_the_region_that_the_page_exports():
    submit = next(command for command in COMMANDS if command.startswith("iac-ci submit"))
    (export,) = {command for command in COMMANDS if command.startswith("export ")}
    assert export.startswith("export AWS_REGION=")
    with LocalCloud(speed=Speed(wait_scale=0.5, retry_seconds=0.1)) as cloud:
        region = cloud.aws.session["region_name"]
        here = f"export AWS_REGION={region}"
        code, printed = typed([here, submit], credentials(cloud.aws), ROOT)
        assert code == 0, printed
        assert "succeeded" in printed
        code, printed = typed([submit], credentials(cloud.aws) | {"AWS_CONFIG_FILE": "/nonexistent"}, ROOT)
        assert (code, "no AWS region is set" in printed) == (3, True), printed
