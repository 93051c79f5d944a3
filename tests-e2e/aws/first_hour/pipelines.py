"""Steps that create the stack and remove it, by the scripts that an operator uses."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import boto3

from aws.first_hour.steps import Account, Seen, Step, Verdict, compare
from iac_ci_cli.connection import aws_connection

ROOT = Path(__file__).resolve().parents[3]


def _pipeline(account: Account, script: str, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run a script of ``pipelines``; return its exit code and its last lines."""
    done = subprocess.run(
        [ROOT / "pipelines" / script, "--stack", account.stack, "--region", account.region, *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    lines = (done.stdout + done.stderr).strip().splitlines()
    return done.returncode, " | ".join(lines[-3:])


def connect(account: Account) -> Seen:
    """Reach a stack that exists."""
    account.connect(aws_connection(account.stack, region=account.region))
    return Seen(Verdict.AS_EXPECTED, f"the stack {account.stack} answers")


def deploy(account: Account) -> Seen:
    """Create the stack with a dashboard, smoke test included."""
    with tempfile.TemporaryDirectory() as folder:
        variables = Path(folder) / "variables.json"
        variables.write_text(json.dumps({"dashboard": True}), "utf-8")
        code, text = _pipeline(account, "all", IAC_CI_VARIABLES=str(variables))
    if code == 0:
        connect(account)
    return compare(code == 0, text)


def deploy_again(account: Account) -> Seen:
    """Plan a second deployment."""
    code, text = _pipeline(account, "deploy", "--check")
    return compare(code == 0, text)


def teardown(account: Account) -> Seen:
    """Remove everything, the state bucket of this throw-away stack too, and look for what is left."""
    # A deployment that failed left no archive, and perhaps half of a stack.
    _pipeline(account, "archive")
    code, text = _pipeline(account, "teardown", "--yes", "--with-open-runs")
    if code != 0:
        return compare(False, text)
    identity = boto3.client("sts", region_name=account.region).get_caller_identity()
    bucket = boto3.resource("s3", region_name=account.region).Bucket(
        f"{account.stack}-state-{identity['Account']}-{account.region}"
    )
    bucket.object_versions.delete()
    bucket.delete()
    tags = boto3.client("resourcegroupstaggingapi", region_name=account.region)
    found = tags.get_resources(TagFilters=[{"Key": "iac-ci:stack", "Values": [account.stack]}])[
        "ResourceTagMappingList"
    ]
    # A key is deleted after its waiting period; it costs nothing in that time.
    left = [one["ResourceARN"] for one in found if ":kms:" not in one["ResourceARN"]]
    return compare(not left, "nothing is left but the key, which AWS deletes later" if not left else ", ".join(left))


DEPLOY = Step(
    "deploy",
    "Do bootstrap, ecr, build, deploy, smoke and archive work with the real provider and services?",
    "yes",
    deploy,
    1.5,
)
CONNECT = Step("deploy", "Does the stack that exists answer?", "yes", connect, 0.0)
CHECK = Step(
    "deploy-check",
    "Which quotas and rights does `pipelines/deploy --check` report?",
    "none that stops",
    deploy_again,
    0.0,
)
TEARDOWN = Step(
    "teardown", "Does the archive remove everything, and is nothing left with the stack's tag?", "yes", teardown, 0.1
)
