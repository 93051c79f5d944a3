"""The local cloud's CodeBuild: builds are processes, started once, with the build role's credentials, and stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from iac_ci_local.ministack import LocalAws
from iac_ci_local.testing import wait_until

pytestmark = pytest.mark.local_cloud

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "codebuild.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}
SHOW = "import json, os, sys; open(os.environ['SHOW'], 'w').write(json.dumps(dict(os.environ)))"
HANG = "import os, subprocess, time; subprocess.Popen(['sleep', '600']); open(os.environ['SHOW'], 'w'); time.sleep(600)"


@pytest.fixture
def codebuild(aws: LocalAws) -> Iterator[Any]:
    aws.client("iam").create_role(RoleName="building", AssumeRolePolicyDocument=json.dumps(TRUST))
    yield boto3.client(
        "codebuild",
        region_name="us-east-1",
        endpoint_url=aws.builds_endpoint,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    aws.client("iam").delete_role(RoleName="building")


def define(aws: LocalAws, name: str, code: str) -> None:
    project = {
        "name": name,
        "arn_prefix": f"arn:aws:codebuild:us-east-1:{aws.account}:build/",
        "command": [sys.executable, "-c", code],
        "timeout_minutes": 5,
        "role_arn": f"arn:aws:iam::{aws.account}:role/building",
        "environment": {"IAC_CI_STACK": "demo"},
    }
    urllib.request.urlopen(
        urllib.request.Request(
            aws.builds_endpoint,
            data=json.dumps(project).encode(),
            headers={"X-Amz-Target": "CodeBuild_20161006.LocalDefineProject"},
        )
    ).close()


def start(codebuild: Any, name: str, show: Path, token: str) -> Any:
    return codebuild.start_build(
        projectName=name,
        idempotencyToken=token,
        timeoutInMinutesOverride=5,
        environmentVariablesOverride=[{"name": "SHOW", "value": str(show), "type": "PLAINTEXT"}],
    )["build"]


def look(codebuild: Any, identifier: str) -> Any:
    return codebuild.batch_get_builds(ids=[identifier])["builds"][0]


def test_a_build_runs_once_with_the_roles_credentials(aws: LocalAws, codebuild: Any, tmp_path: Path) -> None:
    define(aws, "show", SHOW)
    first = start(codebuild, "show", tmp_path / "environment", "one")
    again = start(codebuild, "show", tmp_path / "again", "one")
    assert first["id"] == again["id"]
    wait_until(lambda: look(codebuild, first["id"])["buildComplete"], subject="the build's end")
    assert look(codebuild, first["id"])["buildStatus"] == "SUCCEEDED"
    assert not (tmp_path / "again").exists()
    environment = json.loads((tmp_path / "environment").read_text("utf-8"))
    assert environment["CODEBUILD_BUILD_ID"] == first["id"]
    assert environment["IAC_CI_STACK"] == "demo"
    assert environment["AWS_ACCESS_KEY_ID"] not in {aws.access_key, "any"}
    assert environment["AWS_SESSION_TOKEN"]
    assert not Path(environment["HOME"]).exists()


def test_a_stopped_build_leaves_no_process(aws: LocalAws, codebuild: Any, tmp_path: Path) -> None:
    define(aws, "hang", HANG)
    build = start(codebuild, "hang", tmp_path / "started", "two")
    wait_until((tmp_path / "started").exists, subject="the build's start")
    assert look(codebuild, build["id"])["buildStatus"] == "IN_PROGRESS"
    codebuild.stop_build(id=build["id"])
    wait_until(lambda: look(codebuild, build["id"])["buildComplete"], subject="the build's end")
    assert look(codebuild, build["id"])["buildStatus"] == "STOPPED"
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in listed
    codebuild.stop_build(id=build["id"])
    assert look(codebuild, build["id"])["buildStatus"] == "STOPPED"


def test_a_build_that_fails_says_so(aws: LocalAws, codebuild: Any, tmp_path: Path) -> None:
    define(aws, "fail", "raise SystemExit(3)")
    build = start(codebuild, "fail", tmp_path / "unused", "three")
    wait_until(lambda: look(codebuild, build["id"])["buildComplete"], subject="the build's end")
    assert look(codebuild, build["id"])["buildStatus"] == "FAILED"


def test_unknown_projects_and_builds_are_refused(codebuild: Any) -> None:
    with pytest.raises(codebuild.exceptions.ResourceNotFoundException):
        codebuild.start_build(projectName="nowhere")
    with pytest.raises(codebuild.exceptions.ResourceNotFoundException):
        codebuild.stop_build(id="nowhere:1")
    assert codebuild.batch_get_builds(ids=["nowhere:1"])["buildsNotFound"] == ["nowhere:1"]
    with pytest.raises(codebuild.exceptions.InvalidInputException):
        codebuild.list_builds()
