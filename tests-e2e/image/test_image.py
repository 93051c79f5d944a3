"""The image: what is in it, what is not, and that every door of it answers."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from iac_ci_common import signature
from iac_ci_common.models.work import BUILD_VARIABLES
from image.conftest import SECRET
from image.engine import ROOT, Engine
from image.runtime import Answer, RuntimeApi

# The first test builds the image, from nothing where no layer is left of an earlier build.
pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(3600)]

Start = Callable[[str], AbstractContextManager[RuntimeApi]]


def test_is_small(engine: Engine, image: str, capsys: pytest.CaptureFixture[str]) -> None:
    terraform = int(engine.shell(image, "stat --format %s /usr/local/bin/terraform"))
    size = engine.size(image)
    with capsys.disabled():
        print(f"\nimage: {size / 1e6:.0f} MB, of which Terraform {terraform / 1e6:.0f} MB")
    assert size - terraform < 450_000_000


def test_runs_as_nobody_special(engine: Engine, image: str) -> None:
    assert engine.run("image", "inspect", "--format", "{{.Config.User}}", image).stdout.strip() == "iac-ci"
    assert engine.shell(image, "id -un; id -u; id -G") == "iac-ci\n10001\n10001"
    # The files of the system and of the engine are not its own, so that no order changes them for the next one.
    found = engine.shell(
        image, "find / -xdev -writable ! -type l ! -path '/proc/*' ! -path '/home/iac-ci*' ! -path '/dev/*' || true"
    )
    assert set(found.splitlines()) <= {"/tmp", "/var/tmp", "/run/lock"}


def test_no_setuid_program_but_those_of_the_base_image(engine: Engine, image: str) -> None:
    assert engine.shell(image, "find /opt /usr/local -xdev -perm /6000 2>/dev/null || true") == ""


def test_holds_nothing_that_only_builds_or_installs(engine: Engine, image: str) -> None:
    tools = "gcc cc c++ make ld as pip pip3 uv sudo"
    assert engine.shell(image, f"for tool in {tools}; do command -v $tool || true; done") == ""
    script = """
        for python in /opt/iac-ci/bin/python "$(readlink -f /opt/iac-ci/bin/python)"; do
          for module in pip setuptools ensurepip.__main__; do $python -c "import $module" 2>&1 | tail -1; done
        done
    """
    said = engine.shell(image, script).splitlines()
    assert len(said) == 6
    assert all(line.startswith("ModuleNotFoundError") for line in said), said


def test_holds_what_orders_need(engine: Engine, image: str) -> None:
    script = """
        git --version; bash --version | head -1; ssh -V 2>&1; terraform version | head -1
        sops --disable-version-check --version; python --version
    """
    versions = engine.shell(image, script)
    for expected in (
        r"git version 2\.",
        r"GNU bash, version 5",
        r"OpenSSH_",
        r"Terraform v1\.",
        r"sops 3\.",
        r"Python 3\.",
    ):
        assert re.search(expected, versions), f"{expected} in:\n{versions}"


def test_tools_work_for_the_user_of_lambda(engine: Engine, image: str) -> None:
    said = engine.inside_as_lambda(image, "ssh -p 1 -o BatchMode=yes git@127.0.0.1; git init -q /tmp/made && echo made")
    # ssh comes as far as the network: it does not refuse the user.
    assert "port 1: Connection refused" in said
    assert said.endswith("made\n")


def test_holds_the_locked_packages_and_only_the_functions_of_ours(engine: Engine, image: str) -> None:
    script = "from importlib.metadata import distributions as d; print(*sorted(f'{x.name}=={x.version}' for x in d()))"
    inside = set(engine.shell(image, f'python -c "{script}"').split())
    own = {entry.split("==")[0] for entry in inside if entry.startswith("iac-ci")}
    assert own == {
        f"iac-ci-{name}"
        for name in (
            "broker",
            "common",
            "init",
            "orchestrator",
            "page",
            "plans",
            "projects",
            "triggers",
            "vcs",
            "watchdog",
            "worker",
        )
    }
    locked = engine.shell(image, "cat /usr/share/iac-ci/uv.lock")
    for entry in inside:
        name, version = entry.split("==")
        assert f'name = "{re.sub(r"[-_.]+", "-", name).lower()}"\nversion = "{version}"\n' in locked, entry


def test_our_packages_are_wheels_and_compiled(engine: Engine, image: str) -> None:
    script = "import iac_ci_worker.handler as h, botocore.session as b; print(h.__file__, h.__cached__, b.__cached__)"
    places = engine.shell(image, f"python -c '{script}'").split()
    assert all(place.startswith("/opt/iac-ci/lib/") for place in places)
    for compiled in places[1:]:
        # The second word of its head says that it is never compared with its source (PEP 552).
        assert engine.shell(image, f"od -An -t u4 -j 4 -N 4 {compiled}") == "1"


@pytest.mark.full
def test_opentofu_takes_the_place_of_terraform_by_argument(engine: Engine, image: str, tmp_path: Path) -> None:
    """With a stand-in for OpenTofu's own minimal image, which holds the binary at the same place."""
    (tmp_path / "tofu").write_text("#!/bin/sh\necho OpenTofu v1.0.0\n")
    (tmp_path / "tofu").chmod(0o755)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY tofu /usr/local/bin/tofu\n")
    alone, tag = (f"iac-ci-tested:{name}-{uuid.uuid4().hex[:12]}" for name in ("tofu-alone", "tofu"))
    engine.build(alone, source=tmp_path)
    # The comment in the Dockerfile says how; what it says is what is tried here.
    argument = re.search(r"--build-arg (TERRAFORM_BINARY=\S+)", (ROOT / "Dockerfile").read_text("utf-8"))
    assert argument
    named = ("--build-arg", f"TERRAFORM_IMAGE={alone}", "--build-arg", argument[1])
    engine.build(tag, *named)
    try:
        assert engine.shell(tag, "tofu version; command -v terraform || true") == "OpenTofu v1.0.0"
    finally:
        engine.run("image", "rm", tag, alone)


def test_no_handler_loads_an_sdk_before_it_is_called(engine: Engine, image: str) -> None:
    heavy = "{'boto3', 'botocore', 'requests', 'github', 'gitlab', 'pyrage', 'aws_lambda_powertools'}"
    script = f"""
        for door in init orchestrator watchdog worker broker page; do
          python -c "import sys, iac_ci_$door.handler; print('iac_ci_$door.handler', *({heavy} & set(sys.modules)))"
        done
    """
    assert engine.shell(image, script).splitlines() == [
        f"iac_ci_{door}.handler" for door in ("init", "orchestrator", "watchdog", "worker", "broker", "page")
    ]


@pytest.mark.full
def test_says_how_long_each_handler_takes_to_import(
    engine: Engine, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    script = """
        for door in init orchestrator watchdog worker broker page; do for part in handler wiring; do
          for round in 1 2 3; do
            python -X importtime -c "import iac_ci_$door.$part" 2>&1 | tail -1
          done | sort -t '|' -k 2 -n | head -1
        done; done
    """
    lines = engine.shell(image, script).splitlines()
    assert len(lines) == 12
    with capsys.disabled():
        for line in lines:
            _, microseconds, module = (part.strip() for part in line.split("|"))
            print(f"\nimport of {module}: {int(microseconds) / 1000:.0f} ms", end="")
        print()


def request(body: bytes, **headers: str) -> dict[str, Any]:
    """Return the part of API Gateway's proxy event that the function reads."""
    return {
        "httpMethod": "POST",
        "path": "/webhook",
        "headers": headers,
        "body": body.decode(),
        "isBase64Encoded": False,
    }


def test_init_refuses_what_is_not_signed_and_says_what_is_wrong_with_what_is(function: Start) -> None:
    body = json.dumps({"orders": []}).encode()
    with function("init-job") as lambda_runtime:
        unsigned = lambda_runtime.invoke(request(body))
        assert (unsigned.kind, unsigned.content["statusCode"]) == ("response", 401)
        signed = signature.sign(SECRET, body, datetime.now(UTC))
        wrong = lambda_runtime.invoke(request(body, **{signature.HEADER: signed}))
        assert (wrong.kind, wrong.content["statusCode"]) == ("response", 400)
        assert "orders" in wrong.content["body"]


def test_orchestrator_answers(function: Start) -> None:
    with function("orchestrator") as lambda_runtime:
        assert lambda_runtime.invoke({"Records": []}) == Answer("response", {"runs": 0})


@pytest.mark.parametrize("name", ["watchdog-check", "worker", "broker"])
def test_refuses_an_event_that_is_none(function: Start, name: str) -> None:
    with function(name) as lambda_runtime:
        answer = lambda_runtime.invoke({"nothing": "of the kind"})
        assert (answer.kind, answer.content["errorType"]) == ("error", "StoredUnreadable")


def test_the_door_of_codebuild_refuses_what_it_cannot_read(engine: Engine, image: str) -> None:
    for work in ("", "no base64", base64.b64encode(b'{"schema_version": 1}').decode()):
        done = engine.inside(image, "iac-ci-worker", "run", IAC_CI_WORK=work)
        assert (done.returncode, done.stdout, done.stderr) == (
            2,
            "",
            f"iac-ci-worker: the build's order is missing or not valid; set {', '.join(BUILD_VARIABLES)}\n",
        )
