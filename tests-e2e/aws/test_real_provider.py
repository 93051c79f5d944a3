"""The real provider hashicorp/aws and the pipelines' scripts, against the local AWS: the whole way there and back.

Each test continues where the one before it stopped.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from offline import program, surroundings
from pipelines.conftest import DIGEST, ROOT, Operator, copy_of_the_checkout

from aws import real_provider
from aws.recording_proxy import Held, recording
from iac_ci_local.ministack import LocalAws

pytestmark = [
    pytest.mark.local_cloud,
    pytest.mark.slow,
    pytest.mark.timeout(5400),
    pytest.mark.full,
]

NOT_STORED = {
    "aws_cloudwatch_metric_alarm": {
        "actions_enabled", "alarm_actions", "alarm_description", "dimensions", "ok_actions", "period", "statistic",
        "treat_missing_data",
    },
    "aws_cloudwatch_event_bus_policy": {"policy"},
    "aws_codebuild_project": {"logs_config", "queued_timeout"},
}  # fmt: skip
"""What the local AWS accepts and does not store, so that a second plan sets it again.

MiniStack answers every policy of an event bus with one of its own, which admits everybody.
"""

Way = tuple[Operator, Held]


@pytest.fixture(scope="module")
def way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """Return an operator with a checkout changed for the real provider, and what the provider asks for."""
    program.put_on_path()
    provider = real_provider.find()
    if provider is None:
        pytest.skip("no real provider hashicorp/aws: its registry does not answer, and no mirror here has it")
    folder = tmp_path_factory.mktemp("real")
    checkout = copy_of_the_checkout(folder / "checkout")
    changed = real_provider.change(checkout / "terraform", provider)
    surroundings.note(request.config, f"the real provider {provider.version}, in a copy without: {'; '.join(changed)}")
    with LocalAws() as aws, recording(aws.endpoint) as (endpoint, held):
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environment = kept | {
            "IAC_CI_STACK": "acme",
            "AWS_REGION": aws.session["region_name"],
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": aws.access_key,
            "AWS_SECRET_ACCESS_KEY": aws.secret_key,
            "UV_PROJECT_ENVIRONMENT": str(ROOT / ".venv"),
            "IAC_CI_IMAGE": f"{aws.account}.dkr.ecr.us-east-1.amazonaws.com/acme@{DIGEST}",
            "IAC_CI_UNPINNED": "yes",
        }
        if configuration := provider.write_configuration(folder / "terraformrc"):
            environment["TF_CLI_CONFIG_FILE"] = configuration
        yield Operator(checkout, environment, aws), held
        lists = [f"{kind} ({', '.join(sorted(names))})" for kind, names in sorted(NOT_STORED.items())]
        surroundings.note(request.config, f"the local AWS does not store: {'; '.join(lists)}")
        surroundings.note(
            request.config,
            f"the real provider's requests: {sum(held.operations.values())} of {len(held.operations)} operations held, "
            f"{len(held.problems)} violations, {sum(held.unknown.values())} not read",
        )


def terraform(operator: Operator, stage: str, *arguments: str) -> str:
    """Run Terraform in a stage as the scripts laid it out; it must succeed."""
    done = subprocess.run(
        ["terraform", *arguments],
        cwd=operator.checkout / ".build/acme" / stage,
        env=operator.environment | {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0"},
        capture_output=True,
        text=True,
        timeout=1200,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def planned(operator: Operator, stage: str, *arguments: str) -> dict[str, set[str]]:
    """Plan, and return the attributes that would change, by the type of their resource."""
    # The secret is written by a version that is raised, so any will do here.
    secret = ("-var", "webhook_secret=" + "s" * 32) if stage == "deploy" else ()
    terraform(operator, stage, "plan", "-out=seen.plan", *secret, *arguments)
    plan = json.loads(terraform(operator, stage, "show", "-json", "seen.plan"))
    (operator.checkout / ".build/acme" / stage / "seen.plan").unlink()
    changes: dict[str, set[str]] = defaultdict(set)
    for resource in plan["resource_changes"]:
        change = resource["change"]
        if change["actions"] == ["update"]:
            before, after = change["before"], change["after"]
            changes[resource["type"]] |= {name for name in after if before.get(name) != after[name]}
        elif change["actions"] not in (["no-op"], ["read"]):
            changes[resource["type"]].add("/".join(change["actions"]))
    return dict(changes)


def not_ours(changes: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the changes that the local AWS does not explain."""
    left = {kind: names - NOT_STORED.get(kind, set()) for kind, names in changes.items()}
    return {kind: names for kind, names in left.items() if names}


def test_all_stages_are_applied(way: Way) -> None:
    operator, _ = way
    for stage in ("bootstrap", "ecr", "deploy"):
        assert "was changed as planned" in operator.succeeds(stage)


@pytest.mark.parametrize("stage", ["bootstrap", "ecr", "deploy"])
def test_a_second_plan_changes_only_what_is_not_stored(way: Way, stage: str) -> None:
    operator, _ = way
    assert not_ours(planned(operator, stage)) == {}


def test_another_image_changes_only_what_runs_it(way: Way) -> None:
    operator, _ = way
    another = operator.environment["IAC_CI_IMAGE"].replace("aa", "bb")
    changes = not_ours(planned(operator, "deploy", "-var", f"image_uri={another}"))
    assert changes == {
        "aws_lambda_function": {"image_uri"},
        "aws_codebuild_project": {"environment"},
        "aws_ssm_parameter": {"value"},
    }
    assert "was changed as planned" in operator.succeeds("deploy", "--image", another)
    functions = operator.aws.client("lambda")
    assert functions.get_function(FunctionName="acme-worker")["Code"]["ImageUri"] == another


def test_a_destroy_does_not_need_the_webhook_secret(way: Way) -> None:
    operator, _ = way
    said = terraform(operator, "deploy", "plan", "-destroy", "-no-color")
    assert "0 to add, 0 to change" in said


def test_the_archive_takes_everything_down(way: Way, tmp_path: Path) -> None:
    operator, _ = way
    operator.succeeds("archive")
    said = operator.succeeds("teardown", "--yes")
    assert "The stack was removed." in said
    clients: dict[str, Any] = {name: operator.aws.client(name) for name in ("lambda", "dynamodb", "s3", "iam", "sqs")}
    assert clients["lambda"].list_functions()["Functions"] == []
    assert clients["dynamodb"].list_tables()["TableNames"] == []
    assert [entry["Name"] for entry in clients["s3"].list_buckets()["Buckets"]] == [operator.bucket]
    assert [
        role["RoleName"] for role in clients["iam"].list_roles()["Roles"] if role["RoleName"].startswith("acme")
    ] == []
    assert clients["sqs"].list_queues().get("QueueUrls", []) == []


def test_the_providers_requests_are_as_the_models_say(way: Way) -> None:
    _, held = way
    assert sum(held.operations.values()) > 500
    assert held.problems == set()
    assert sum(held.unknown.values()) < 0.1 * sum(held.operations.values()), held.unknown.most_common(20)
