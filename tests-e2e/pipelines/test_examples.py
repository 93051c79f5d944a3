"""The example pipelines call the scripts as they are, and the page on deployment names what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "pipelines"
SET_UP = {"uv sync", "python3 -m pip install uv"}
DEPLOY = (ROOT / "docs" / "deploy.md").read_text("utf-8")


def commands(name: str) -> list[str]:
    content: dict[str, Any] = yaml.safe_load((EXAMPLES / name).read_text("utf-8"))
    if name == "github-actions.yml":
        return [step["run"] for job in content["jobs"].values() for step in job["steps"] if "run" in step]
    if name == "gitlab-ci.yml":
        return [line for job in content.values() if isinstance(job, dict) for line in job.get("script", [])]
    return [line for phase in content["phases"].values() for line in phase["commands"]]


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml", "buildspec.yml"])
def test_an_example_calls_the_scripts_and_nothing_else(name):
    called = [command for command in commands(name) if command not in SET_UP]
    assert called
    for command in called:
        script, *flags = command.split()
        assert script.startswith("pipelines/")
        assert (ROOT / script).is_file(), script
        assert set(flags) <= {"--plan", "$PLAN_ONLY"}


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_an_example_deploys_in_the_order_in_which_the_scripts_tell_their_next(name):
    deployed = [command for command in commands(name) if command.startswith("pipelines/") and "--plan" not in command]
    assert deployed == [f"pipelines/{script}" for script in ("bootstrap", "ecr", "build", "deploy", "smoke", "archive")]


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_no_example_keeps_a_key(path):
    text = path.read_text("utf-8").lower()
    assert not re.search(r"aws_access_key_id|aws_secret_access_key|akia", text)


def test_only_a_job_that_uses_credentials_may_ask_for_a_token():
    """Not the whole workflow: a job that is added later must not be able to take the role."""
    workflow = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        uses = any("configure-aws-credentials" in step.get("uses", "") for step in job["steps"])
        assert job.get("permissions", {}).get("id-token") == ("write" if uses else None), name
    pipeline = yaml.safe_load((EXAMPLES / "gitlab-ci.yml").read_text("utf-8"))
    assert "id_tokens" not in pipeline["default"]
    for name, job in pipeline.items():
        if isinstance(job, dict) and "script" in job:
            assert ("AWS_ROLE_ARN" in job["variables"]) == ("id_tokens" in job), name


def test_the_trust_policy_admits_one_environment_of_one_repository():
    policy = json.loads((EXAMPLES / "trust-policy.json").read_text("utf-8"))
    (statement,) = policy["Statement"]
    ((operator, condition),) = statement["Condition"].items()
    assert operator == "StringEquals"
    issuer = statement["Principal"]["Federated"].partition("oidc-provider/")[2]
    assert set(condition) == {f"{issuer}:aud", f"{issuer}:sub"}
    assert not re.search(r"[*?]", "".join(condition.values()))
    repository, _, environment = condition[f"{issuer}:sub"].removeprefix("repo:").partition(":environment:")
    workflow = (EXAMPLES / "github-actions.yml").read_text("utf-8")
    assert environment == yaml.safe_load(workflow)["jobs"]["deploy"]["environment"]
    for example in (workflow, (EXAMPLES / "gitlab-ci.yml").read_text("utf-8")):
        # Every condition that a comment shows names the repository, too.
        subjects = re.findall(r':sub": "([^"]+)"', example)
        assert subjects
        assert all(f":{repository}:" in subject for subject in subjects)


def test_every_action_is_pinned_to_a_version():
    used = re.findall(r"uses: (\S+)", (EXAMPLES / "github-actions.yml").read_text("utf-8"))
    assert used
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+@v\d+(\.\d+)*", action) for action in used)


def test_the_page_names_flags_that_scripts_take():
    scripts = "".join(path.read_text("utf-8") for path in (ROOT / "pipelines").iterdir() if path.is_file())
    for flag in set(re.findall(r"`(--[a-z]+)`", DEPLOY)):
        assert f"{flag})" in scripts or f"{flag} |" in scripts, flag
    for name in set(re.findall(r"`(IAC_CI_[A-Z]+)`", DEPLOY)):
        assert f"{name}:-" in scripts, name
    for script in set(re.findall(r"pipelines/([a-z]+)", DEPLOY)) - {"pipelines"}:
        assert (
            (ROOT / "pipelines" / script).is_file()
            or (EXAMPLES / script).exists()
            or script in {"github", "gitlab", "buildspec", "trust", "deployer"}
        )


def test_the_page_names_variables_that_there_are():
    declared = set(
        re.findall(
            r'^variable "(\w+)"', "".join(path.read_text() for path in ROOT.glob("terraform/*/variables.tf")), re.M
        )
    )
    table = DEPLOY.split("most teams set:", 1)[1].split("A second stack", 1)[0]
    named = {name for row in re.findall(r"^\| (`[^|]*) \|", table, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert named
    assert named <= declared
    assert {"manage_api_gateway_account", "webhook_secret_version", "more_webhook_secrets", "kept_images"} <= declared
