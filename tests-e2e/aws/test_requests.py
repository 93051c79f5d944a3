"""What holds the requests notices what breaks a model or a policy, and reads what goes over the wire."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.session
import pytest

from aws import count_requests, policies
from aws.decoding import decode
from aws.hook import held_requests

ROOT = Path(__file__).parents[2]


def problems(service: str, operation: str, request: dict[str, Any]) -> list[str]:
    model = botocore.session.get_session().get_service_model(service).operation_model(operation)
    return held_requests.problems(model.input_shape, request)


@pytest.mark.parametrize(
    ("service", "operation", "request_", "named"),
    [
        ("lambda", "Invoke", {"FunctionName": "f", "InvocationType": "Later"}, "none of"),
        ("lambda", "Invoke", {"FunctionName": "f f"}, "does not match"),
        ("dynamodb", "TransactWriteItems", {"TransactItems": [{}] * 101}, "more than 100"),
        ("codebuild", "BatchGetBuilds", {"ids": ["a"] * 101}, "more than 100"),
        ("stepfunctions", "StartExecution", {"stateMachineArn": "a", "name": "n" * 81}, "more than 80"),
        ("kms", "Encrypt", {"KeyId": "k", "Plaintext": b"x" * 4097}, "more than 4096"),
        ("iam", "CreateRole", {"RoleName": "r" * 65, "AssumeRolePolicyDocument": "{}"}, "more than 64"),
    ],
)
def test_a_request_that_a_service_would_refuse_is_noticed(
    service: str, operation: str, request_: dict[str, Any], named: str
) -> None:
    assert [problem for problem in problems(service, operation, request_) if named in problem]


def test_a_request_as_the_service_wants_it_is_not() -> None:
    assert problems("lambda", "Invoke", {"FunctionName": "iac-ci-worker", "InvocationType": "Event"}) == []
    assert problems("stepfunctions", "StartExecution", {"stateMachineArn": "a", "name": "n" * 80}) == []


def test_a_process_that_does_not_see_the_records_still_sends_its_requests(tmp_path, monkeypatch) -> None:
    """A sandbox of a function does not: an error of the record would be an error of the request."""
    monkeypatch.setenv(held_requests.FOLDER_VARIABLE, str(tmp_path / "not here"))
    held_requests.record({"request": "lambda:Invoke"})
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_the_counts() -> None:
    command = [sys.executable, count_requests.__file__, __file__, "-k", "read_back"]
    alone = {name: value for name, value in os.environ.items() if name != held_requests.FOLDER_VARIABLE}
    done = subprocess.run(command, env=alone, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = f"{len(REQUESTS)} AWS requests held, 0 of them of functions and builds, 0 violations, 0 missing actions"
    assert counts in done.stdout


def record(caller: str, service: str, operation: str, **request: Any) -> dict[str, Any]:
    return {"kind": "function", "caller": caller, "needs": held_requests.actions(service, operation, request)}


def test_requests_are_compared_with_policies_both_ways() -> None:
    loaded = policies.load()
    worker = "iac-ci-locks"
    allowed = [
        record("acme-broker", "s3", "PutObject", Bucket="acme-internal-1-x", Key="tmp/logs/run/0001.log"),
        record("acme-broker", "dynamodb", "GetItem", TableName=worker, Key={"lock_key": {"S": "ticket:x"}}),
    ]
    found = policies.compare(allowed, loaded)
    assert found.missing == {}
    assert found.used["broker", "LendCallbacks", "s3:PutObject"] == 1
    unused = found.unused(loaded)
    assert "broker: LendCallbacks: s3:PutObject" not in unused
    assert "init-job: StartWatchdog: states:StartExecution" in unused
    wrong = [
        record("acme-broker", "s3", "PutObject", Bucket="acme-internal-1-x", Key="tmp/exec/run/0001/exec.zip"),
        record("acme-broker", "dynamodb", "GetItem", TableName=worker, Key={"lock_key": {"S": "lock:x"}}),
        record("acme-worker", "dynamodb", "Query", TableName="acme-orders"),
    ]
    assert len(policies.compare(wrong, loaded).missing) == 3


def test_each_excuse_is_for_a_statement_that_exists() -> None:
    granted = set(policies.granted(policies.load()))
    assert policies.RARE.keys() <= granted
    statements = {(role, sid) for role, sid, _ in granted}
    for role, sid in policies.NOT_RECORDED:
        assert [found for found in statements if role in {found[0], "*"} and sid in {found[1], "*"}], (role, sid)


ROLE = "arn:aws:iam::123456789012:role/r"
REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("dynamodb", "get_item", {"TableName": "t", "Key": {"run_id": {"S": "x"}}}),
    ("iam", "create_role", {"RoleName": "r", "AssumeRolePolicyDocument": "{}", "Tags": [{"Key": "a", "Value": "b"}]}),
    ("sns", "set_topic_attributes", {"TopicArn": "arn", "AttributeName": "Policy", "AttributeValue": "{}"}),
    (
        "lambda",
        "create_function",
        {"FunctionName": "f", "Role": "arn:aws:iam::123456789012:role/r", "Code": {"ImageUri": "i"}, "Timeout": 3},
    ),
    ("lambda", "get_function", {"FunctionName": "f", "Qualifier": "1"}),
    ("apigateway", "create_resource", {"restApiId": "a", "parentId": "p", "pathPart": "webhook"}),
    (
        "s3",
        "put_bucket_lifecycle_configuration",
        {
            "Bucket": "b",
            "LifecycleConfiguration": {
                "Rules": [{"ID": "e", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]
            },
        },
    ),
    ("s3", "get_object", {"Bucket": "b", "Key": "tmp/a/b.zip", "VersionId": "3"}),
]


@pytest.mark.parametrize(("service", "operation", "request_"), REQUESTS, ids=lambda value: str(value)[:30])
def test_a_request_on_the_wire_is_read_back(service: str, operation: str, request_: dict[str, Any]) -> None:
    client = boto3.client(
        service, region_name="us-east-1", aws_access_key_id="AKIA", aws_secret_access_key="s",
        endpoint_url="http://127.0.0.1:9",
    )  # fmt: skip
    sent: list[Any] = []

    def keep(request: Any, **_: Any) -> Any:
        sent.append(request)
        return SimpleNamespace(status_code=200, headers={}, content=b"", raw=None, text="")

    client.meta.events.register("before-send", keep)
    # The empty answer may not be one of the service; the request was made.
    with contextlib.suppress(Exception):
        getattr(client, operation)(**request_)
    body = sent[0].body or b""
    headers = {name: value.decode() if isinstance(value, bytes) else value for name, value in sent[0].headers.items()}
    found = decode(sent[0].method, sent[0].url, headers, body.encode() if isinstance(body, str) else bytes(body))
    assert found is not None
    assert found.operation.lower() == operation.replace("_", "")
    read = {name: value for name, value in found.parameters.items() if name in request_}
    assert read == request_


@pytest.mark.parametrize(
    ("policy", "packages"),
    [
        ("broker", ["iac-ci-broker"]),
        ("init-job", ["iac-ci-init", "iac-ci-triggers"]),
        ("orchestrator", ["iac-ci-orchestrator"]),
        ("watchdog-check", ["iac-ci-watchdog"]),
    ],
)
def test_a_function_that_reads_single_rows_of_orders_may(policy: str, packages: list[str]) -> None:
    """Also where no test of the local cloud comes by: a read in a race, for example."""
    sources = [
        path.read_text("utf-8") for name in packages for path in (ROOT / "packages" / name / "src").rglob("*.py")
    ]
    reads = any(re.search(r"\.find_(run|order)\(", source) for source in sources)
    text = (ROOT / "terraform" / "deploy" / "stack" / "policies" / f"{policy}.json").read_text("utf-8")
    rights = [
        one["Action"]
        for one in json.loads(text)["Statement"]
        if any("${orders_table}" in each for each in one["Resource"])
    ]
    may = any("dynamodb:GetItem" in actions for actions in rights)
    assert may or not reads
