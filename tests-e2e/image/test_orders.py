"""An order's commands inside the image, through both doors of the worker and presigned URLs as they are in use."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import pytest

from iac_ci_common import ids, keys
from iac_ci_common.aws.objects import S3Objects
from iac_ci_common.models.manifest import MANIFEST_NAME, Manifest
from iac_ci_common.models.result import Result
from iac_ci_common.models.work import Work, WorkUrls
from iac_ci_common.order_logs import read_log
from iac_ci_common.packing import write
from iac_ci_common.states import OrderState
from iac_ci_local.ministack import LocalAws
from image.engine import Engine
from image.runtime import RuntimeApi

pytestmark = [pytest.mark.docker, pytest.mark.local_cloud, pytest.mark.slow, pytest.mark.timeout(3600)]

CODE = "a" * 64
COMMANDS = (
    "terraform init -no-color && terraform apply -no-color -auto-approve",
    "git init -q made && git -C made status --short --branch",
    "sops --disable-version-check --version && ssh -V",
    'printf "credentials: %s\\n" "${AWS_SECRET_ACCESS_KEY:-none}"',
    "echo $GREETING from $(id -u)",
)


@pytest.fixture(scope="module")
def objects() -> Iterator[S3Objects]:
    with LocalAws() as aws:
        storage = aws.client("s3")
        storage.create_bucket(Bucket="orders")
        yield S3Objects(storage, "orders")


def zipped(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    write(archive, files)
    return archive.getvalue()


@pytest.fixture
def work(objects: S3Objects) -> Work:
    """Queue an order that uses every tool, with the code that it is about."""
    now = datetime.now(UTC)
    run_id, order_num = ids.new_run_id(now), "0001"
    manifest = Manifest(
        run_id=run_id,
        order_num=order_num,
        order_name="tools",
        flow_id="f",
        cmds=COMMANDS,
        env_vars={"GREETING": "hello"},
    )
    objects.put(keys.package(run_id, order_num), zipped({MANIFEST_NAME: manifest.model_dump_json().encode()}))
    objects.put(keys.code(CODE), zipped({"main.tf": b'output "made" {\n  value = "by Terraform"\n}\n'}))

    def get(key: str) -> str:
        return objects.presign_get(key, seconds=600)

    def put(key: str, *, create_once: bool) -> str:
        return objects.presign_put(key, seconds=600, create_once=create_once)

    return Work(
        run_id=run_id,
        order_num=order_num,
        trace_id="0" * 16,
        dispatch="here",
        timeout=120,
        not_after=now + timedelta(seconds=300),
        urls=WorkUrls(
            package=get(keys.package(run_id, order_num)),
            code=get(keys.code(CODE)),
            claim=put(keys.claim(run_id, order_num), create_once=True),
            claim_check=get(keys.claim(run_id, order_num)),
            log=put(keys.log(run_id, order_num), create_once=False),
            result=put(keys.result(run_id, order_num), create_once=True),
        ),
    )


def check(objects: S3Objects, work: Work, *, user: int) -> None:
    stored = read_log(objects, work.run_id, work.order_num)
    assert stored is not None
    log = stored.text
    result = Result.model_validate_json(objects.get(keys.result(work.run_id, work.order_num)))
    assert result.status is OrderState.SUCCEEDED, log
    for expected in ('made = "by Terraform"', "No commits yet", "sops 3.", "OpenSSH", "credentials: none"):
        assert expected in log, log
    assert f"hello from {user}\n" in log


def test_through_lambda(
    function: Callable[[str], AbstractContextManager[RuntimeApi]], objects: S3Objects, work: Work
) -> None:
    with function("worker") as lambda_runtime:
        answer = lambda_runtime.invoke(work.model_dump(mode="json"))
        assert answer.kind == "response", answer
        assert answer.content["status"] == "succeeded"
    check(objects, work, user=993)


def test_through_codebuild(engine: Engine, image: str, objects: S3Objects, work: Work) -> None:
    packed = base64.b64encode(work.model_dump_json().encode()).decode()
    flags = ("--rm", "--network", "host", "--env", f"IAC_CI_WORK={packed}", "--env", "AWS_SECRET_ACCESS_KEY=planted")
    engine.run("run", *flags, image, "iac-ci-worker", "run", seconds=120)
    check(objects, work, user=10001)
