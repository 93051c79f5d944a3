"""The local cloud's CodeBuild treats builds as AWS does: a shell above the command, files that show everything."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ParamValidationError

from iac_ci_local.codebuild.buildspec import read_buildspec
from iac_ci_local.codebuild.container import open_to_commands
from iac_ci_local.codebuild.requests import BuildRefused
from iac_ci_local.codebuild.settings import BuildSettings
from iac_ci_local.ministack import LocalAws, Speed
from iac_ci_local.terraform_tool import write_terraform
from iac_ci_local.testing import wait_until

pytestmark = pytest.mark.local_cloud

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "codebuild.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}
HANG = "trap 'echo asked >> $SHOW/asked; exit 1' TERM; (setsid sleep 600 &) ; : > $SHOW/started; sleep 600 & wait"


@dataclass
class Service:
    """A build service and a client of it."""

    aws: LocalAws
    client: Any

    def define(self, name: str, *commands: str, **phases: list[str]) -> None:
        spec = {name: {"commands": listed} for name, listed in {"build": list(commands), **phases}.items()}
        project = {
            "name": name,
            "arn_prefix": f"arn:aws:codebuild:us-east-1:{self.aws.account}:build/",
            "buildspec": {"version": "0.2", "phases": spec},
            "timeout_minutes": 5,
            "compute_type": "BUILD_GENERAL1_SMALL",
            "role_arn": f"arn:aws:iam::{self.aws.account}:role/building",
            "environment": {"IAC_CI_STACK": "demo"},
        }
        urllib.request.urlopen(
            urllib.request.Request(
                self.aws.builds_endpoint,
                data=json.dumps(project).encode(),
                headers={"X-Amz-Target": "CodeBuild_20161006.LocalDefineProject"},
            )
        ).close()

    def start(self, name: str, show: Path, **more: Any) -> str:
        variables = [{"name": "SHOW", "value": str(show), "type": "PLAINTEXT"}]
        started = self.client.start_build(projectName=name, environmentVariablesOverride=variables, **more)
        return str(started["build"]["id"])

    def look(self, identifier: str) -> Any:
        return self.client.batch_get_builds(ids=[identifier])["builds"][0]

    def run(self, name: str, show: Path) -> Any:
        identifier = self.start(name, show)
        self.wait(identifier)
        return self.look(identifier)

    def wait(self, identifier: str) -> None:
        wait_until(lambda: self.look(identifier)["buildComplete"], subject="the build's end")


def serve(aws: LocalAws) -> Service:
    aws.client("iam").create_role(RoleName="building", AssumeRolePolicyDocument=json.dumps(TRUST))
    client = boto3.client(
        "codebuild",
        region_name="us-east-1",
        endpoint_url=aws.builds_endpoint,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    return Service(aws, client)


@pytest.fixture(scope="module")
def codebuild(aws: LocalAws) -> Service:
    return serve(aws)


@pytest.fixture(scope="module")
def polite() -> Iterator[Service]:
    """A service whose StopBuild begins with SIGTERM, whose minutes are short, and which provisions longer than that."""
    settings = BuildSettings(stop_signal="TERM", minute_seconds=1000, provisioning_seconds=0)
    with LocalAws(speed=Speed(wait_scale=0.01, retry_seconds=0.1), builds=settings) as running:
        yield serve(running)


@pytest.fixture(scope="module")
def slow() -> Iterator[Service]:
    """A service that takes longer to provision a build than the build may take."""
    settings = BuildSettings(minute_seconds=0.01, provisioning_seconds=600)
    with LocalAws(speed=Speed(wait_scale=0.01, retry_seconds=0.1), builds=settings) as running:
        yield serve(running)


PYTHON = shlex.quote(sys.executable)
SHOW = f"{PYTHON} -c 'import json, os; print(json.dumps([dict(os.environ), os.getcwd()]))' > $SHOW/seen"
FETCH = f"{PYTHON} -c 'import os, urllib.request as r; print(r.urlopen(os.environ[\"U\"]).read().decode())' > $SHOW/got"


def test_a_build_has_the_machine_of_the_request_or_else_of_the_project(codebuild: Service) -> None:
    codebuild.define("machines", "true")
    plain = codebuild.client.start_build(projectName="machines")["build"]
    large = codebuild.client.start_build(projectName="machines", computeTypeOverride="BUILD_GENERAL1_LARGE")["build"]
    assert plain["environment"]["computeType"] == "BUILD_GENERAL1_SMALL"
    assert large["environment"]["computeType"] == "BUILD_GENERAL1_LARGE"
    with pytest.raises(ClientError, match="computeType"):
        codebuild.client.start_build(projectName="machines", computeTypeOverride="BUILD_LAMBDA_1GB")
    for build in (plain, large):
        codebuild.wait(build["id"])


def test_a_build_runs_once_in_a_foreign_folder_with_the_agents_variables(codebuild: Service, tmp_path: Path) -> None:
    codebuild.define("show", SHOW, "cp $(dirname $0)/* $SHOW; stat -c %a $0 $(dirname $0)/env.sh > $SHOW/modes")
    first = codebuild.start("show", tmp_path, idempotencyToken="one")
    assert codebuild.start("show", tmp_path / "again", idempotencyToken="one") == first
    codebuild.wait(first)
    assert codebuild.look(first)["buildStatus"] == "SUCCEEDED"
    assert not (tmp_path / "again").exists()
    environment, folder = json.loads((tmp_path / "seen").read_text("utf-8"))
    assert environment["CODEBUILD_BUILD_ID"] == first
    assert environment["IAC_CI_STACK"] == "demo"
    assert {"CODEBUILD_AGENT_ENDPOINT", "CODEBUILD_AUTH_TOKEN", "ECS_CONTAINER_METADATA_URI"} <= set(environment)
    assert not {"AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"} & set(environment)
    assert folder.endswith("/src")
    assert environment["HOME"].endswith("/root")
    assert not Path(environment["HOME"]).exists()
    # What stays beside the commands shows every variable, and everybody may write it.
    assert environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] in (tmp_path / "env.sh").read_text("utf-8")
    assert (tmp_path / "modes").read_text("utf-8").split() == ["666", "666"]


def test_credentials_come_from_the_endpoint_and_end_with_the_build(codebuild: Service, tmp_path: Path) -> None:
    codebuild.define("fetch", f"export U=$AWS_CONTAINER_CREDENTIALS_FULL_URI; {FETCH}", "echo $U > $SHOW/url")
    assert codebuild.run("fetch", tmp_path)["buildStatus"] == "SUCCEEDED"
    got = json.loads((tmp_path / "got").read_text("utf-8"))
    session = boto3.client(
        "sts",
        region_name="us-east-1",
        endpoint_url=codebuild.aws.endpoint,
        aws_access_key_id=got["AccessKeyId"],
        aws_secret_access_key=got["SecretAccessKey"],
        aws_session_token=got["Token"],
    )
    assert session.get_caller_identity()["Arn"].endswith("assumed-role/building/AWSCodeBuild")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen((tmp_path / "url").read_text("utf-8").strip())


def test_each_command_has_a_new_shell_and_the_state_of_the_last(codebuild: Service, tmp_path: Path) -> None:
    codebuild.define(
        "state",
        "export WORD=kept; plain=lost; mkdir deep; cd deep",
        "echo $WORD:$plain:$(basename $PWD):$$ > $SHOW/a",
        "echo $$ > $SHOW/b",
    )
    assert codebuild.run("state", tmp_path)["buildStatus"] == "SUCCEEDED"
    word, plain, folder, shell = (tmp_path / "a").read_text("utf-8").strip().split(":")
    assert (word, folder) == ("kept", "deep")
    assert plain == "lost"
    assert shell != (tmp_path / "b").read_text("utf-8").strip()


def test_a_failed_command_ends_the_build_after_its_last_phase(codebuild: Service, tmp_path: Path) -> None:
    codebuild.define("fail", "exit 3", ": > $SHOW/next", post_build=[": > $SHOW/after"])
    assert codebuild.run("fail", tmp_path)["buildStatus"] == "FAILED"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["after"]
    codebuild.define("early", ": > $SHOW/build", pre_build=["false"])
    assert codebuild.run("early", tmp_path)["buildStatus"] == "FAILED"
    assert not (tmp_path / "build").exists()


def test_everybody_who_may_look_at_a_build_sees_its_variables(codebuild: Service, tmp_path: Path) -> None:
    codebuild.define("plain", "true")
    shown = codebuild.run("plain", tmp_path)["environment"]["environmentVariables"]
    assert {entry["name"]: entry["value"] for entry in shown} == {"IAC_CI_STACK": "demo", "SHOW": str(tmp_path)}


def alive(folder: Path) -> list[str]:
    """Return the processes whose variables name a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if f"SHOW={folder}".encode() in (entry / "environ").read_bytes():
                    found.append(entry.name)
            except OSError:
                continue
    return found


def test_a_stopped_build_is_killed_without_a_word(codebuild: Service, tmp_path: Path) -> None:
    codebuild.define("hang", HANG)
    build = codebuild.start("hang", tmp_path)
    wait_until((tmp_path / "started").exists, subject="the build's start")
    assert codebuild.look(build)["buildStatus"] == "IN_PROGRESS"
    codebuild.client.stop_build(id=build)
    codebuild.wait(build)
    assert codebuild.look(build)["buildStatus"] == "STOPPED"
    assert not alive(tmp_path)
    assert not (tmp_path / "asked").exists()
    codebuild.client.stop_build(id=build)
    assert codebuild.look(build)["buildStatus"] == "STOPPED"


def test_a_stopped_build_may_be_asked_first(polite: Service, tmp_path: Path) -> None:
    polite.define("hang", HANG)
    build = polite.start("hang", tmp_path)
    wait_until((tmp_path / "started").exists, subject="the build's start")
    polite.client.stop_build(id=build)
    polite.wait(build)
    assert polite.look(build)["buildStatus"] == "STOPPED"
    assert (tmp_path / "asked").exists()
    assert not alive(tmp_path)


def test_a_build_that_kills_the_shell_above_it_leaves_nothing(codebuild: Service, tmp_path: Path) -> None:
    kill = "(setsid sh -c ': > $SHOW/started; exec sleep 600' &); while [ ! -e $SHOW/started ]; do :; done; "
    codebuild.define("kill", f"{kill} kill -9 $PPID")
    assert codebuild.run("kill", tmp_path)["buildStatus"] == "FAILED"
    assert not alive(tmp_path)


def test_a_build_ends_however_deep_it_nested_its_folders(codebuild: Service, tmp_path: Path) -> None:
    nest = "import os\nfor _ in range(1500): os.mkdir('d'); os.chdir('d')"
    codebuild.define("nest", f'cd "$TMPDIR" && pwd > $SHOW/folder && python3 -c "{nest}"')
    assert codebuild.run("nest", tmp_path)["buildStatus"] == "SUCCEEDED"
    assert not Path((tmp_path / "folder").read_text("utf-8").strip()).exists()


def test_the_clock_of_a_build_starts_before_it_is_provisioned(slow: Service, tmp_path: Path) -> None:
    slow.define("late", ": > $SHOW/ran")
    assert slow.run("late", tmp_path)["buildStatus"] == "TIMED_OUT"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["CODEBUILD_BUILD_ID", "CODEBUILD_ANY", "not a name", "1st", "-"])
def test_reserved_and_impossible_names_are_refused(codebuild: Service, name: str) -> None:
    codebuild.define("named", "true")
    variables = [{"name": name, "value": "x", "type": "PLAINTEXT"}]
    with pytest.raises(codebuild.client.exceptions.InvalidInputException):
        codebuild.client.start_build(projectName="named", environmentVariablesOverride=variables)


def test_a_variable_has_at_most_4096_characters(codebuild: Service) -> None:
    codebuild.define("long", "true")

    def start(value: str) -> str:
        variables = [{"name": "LONG", "value": value, "type": "PLAINTEXT"}]
        started = codebuild.client.start_build(projectName="long", environmentVariablesOverride=variables)
        return str(started["build"]["id"])

    codebuild.wait(start("ä" * 4096))
    with pytest.raises(codebuild.client.exceptions.InvalidInputException) as refused:
        start("x" * 4097)
    assert str(refused.value).endswith("EnvironmentVariable should be at most 4096 characters")


@pytest.mark.parametrize(("minutes", "accepted"), [(4, False), (5, True), (2160, True), (2161, False)])
def test_time_outs_are_within_the_limits(codebuild: Service, tmp_path: Path, minutes: int, accepted: bool) -> None:
    codebuild.define("timed", "true")
    if accepted:
        codebuild.wait(codebuild.start("timed", tmp_path, timeoutInMinutesOverride=minutes))
    else:  # botocore itself refuses what is too short
        with pytest.raises((codebuild.client.exceptions.InvalidInputException, ParamValidationError)):
            codebuild.start("timed", tmp_path, timeoutInMinutesOverride=minutes)


def test_unknown_projects_and_builds_are_refused(codebuild: Service) -> None:
    with pytest.raises(codebuild.client.exceptions.ResourceNotFoundException):
        codebuild.client.start_build(projectName="nowhere")
    with pytest.raises(codebuild.client.exceptions.ResourceNotFoundException):
        codebuild.client.stop_build(id="nowhere:1")
    assert codebuild.client.batch_get_builds(ids=["nowhere:1"])["buildsNotFound"] == ["nowhere:1"]
    with pytest.raises(codebuild.client.exceptions.InvalidInputException):
        codebuild.client.list_builds()


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": "0.1"},
        {"version": "0.2", "artifacts": {}},
        {"version": "0.2", "env": {"shell": "powershell.exe"}},
        {"version": "0.2", "env": {"parameter-store": {}}},
        {"version": "0.2", "phases": {"deploy": {"commands": []}}},
        {"version": "0.2", "phases": {"build": {"commands": [], "on-failure": "CONTINUE"}}},
    ],
)
def test_a_buildspec_with_what_the_local_cloud_does_not_run_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BuildRefused):
        read_buildspec(wrong)


def test_commands_get_a_user_of_their_own_only_where_it_reaches_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    inner = tmp_path / "inner"
    inner.mkdir()
    assert not open_to_commands(inner)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        monkeypatch.setenv("PATH", folder)
        assert open_to_commands(Path(folder)) == (os.geteuid() == 0)
        # A Terraform that runs in a Python which others cannot start.
        write_terraform(Path(folder))
        monkeypatch.setattr(sys, "executable", f"{inner}/python")
        shutil.copy("/bin/sh", sys.executable)
        assert not open_to_commands(Path(folder))
        # The cloud's own Terraform is on the commands' PATH alone.
        monkeypatch.setenv("PATH", str(inner))
        assert open_to_commands(Path(folder)) == (os.geteuid() == 0)
        assert not open_to_commands(Path(folder), f"{folder}{os.pathsep}{inner}")


def test_a_user_of_the_image_that_is_missing_here_changes_nothing(codebuild: Service, tmp_path: Path) -> None:
    project = {
        "name": "run-as",
        "arn_prefix": f"arn:aws:codebuild:us-east-1:{codebuild.aws.account}:build/",
        "buildspec": {
            "version": "0.2",
            "run-as": "no-such-user",
            "phases": {"build": {"commands": ["id -u > $SHOW/id"]}},
        },
        "timeout_minutes": 5,
        "compute_type": "BUILD_GENERAL1_SMALL",
        "role_arn": f"arn:aws:iam::{codebuild.aws.account}:role/building",
        "environment": {},
    }
    body = json.dumps(project).encode()
    target = {"X-Amz-Target": "CodeBuild_20161006.LocalDefineProject"}
    urllib.request.urlopen(urllib.request.Request(codebuild.aws.builds_endpoint, data=body, headers=target)).close()
    assert codebuild.run("run-as", tmp_path)["buildStatus"] == "SUCCEEDED"
    assert int((tmp_path / "id").read_text("utf-8")) == os.geteuid()
