"""Each stage is well-formed, valid, tested by its own tests and can be planned, applied and destroyed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from terraform.conftest import secrets
from terraform.stage import DIGEST, SOURCE, STACK, STAGES, Stage, TerraformFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def blocks(stage: str, kind: str) -> Iterator[tuple[str, str]]:
    """Return name and text of each top-level block of a kind."""
    for path in sorted((SOURCE / stage).glob("*.tf")):
        for block in re.finditer(
            rf'^{kind} "([^"]+)" \{{\n(.*?)^\}}', path.read_text("utf-8"), re.MULTILINE | re.DOTALL
        ):
            yield block[1], block[2]


def changes(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [change for change in plan["resource_changes"] if change["mode"] == "managed"]


@pytest.mark.parametrize("name", STAGES)
def test_is_formatted_and_valid_as_it_is_written(name: str, written: Mapping[str, Stage]) -> None:
    written[name].run("fmt", "-check", "-recursive", "-diff")
    verdict = json.loads(written[name].run("validate", "-json"))
    assert verdict["valid"]
    assert verdict["diagnostics"] == []


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", STAGES)
def test_passes_its_own_tests(name: str, written: Mapping[str, Stage]) -> None:
    runs = len(
        re.findall(r"^run ", next((SOURCE / name / "tests").glob("*.tftest.hcl")).read_text("utf-8"), re.MULTILINE)
    )
    assert f"Success! {runs} passed, 0 failed." in written[name].run("test")


@pytest.mark.parametrize("name", STAGES)
def test_uses_the_one_provider_and_a_terraform_with_native_locks(name: str, plans: Mapping[str, Any]) -> None:
    providers = plans[name]["configuration"]["provider_config"]
    # The other one is a part of Terraform itself.
    assert {provider["full_name"].removeprefix("registry.terraform.io/") for provider in providers.values()} - {
        "terraform.io/builtin/terraform"
    } == {"hashicorp/aws"}
    versions = (SOURCE / name / "versions.tf").read_text("utf-8")
    assert 'required_version = ">= 1.11"' in versions
    assert re.search(r'version = "~> 6\.\d+"', versions)
    assert ('backend "s3" {}' in versions) == (name != "bootstrap")


@pytest.mark.parametrize("name", STAGES)
def test_every_variable_and_output_says_what_it_is(name: str) -> None:
    variables = dict(blocks(name, "variable"))
    outputs = dict(blocks(name, "output"))
    assert variables.keys() >= {"stack", "region", "tags"}
    assert outputs
    assert [variable for variable, text in variables.items() if not re.search(r"^  type +=", text, re.MULTILINE)] == []
    for said in (variables, outputs):
        assert [
            key for key, text in said.items() if not re.search(r'^  description += ".{10,}"$', text, re.MULTILINE)
        ] == []


@pytest.mark.parametrize("name", STAGES)
def test_null_stands_for_the_default_of_a_variable(name: str) -> None:
    for variable, text in blocks(name, "variable"):
        may_be_null = re.search(r"^  default += null$", text, re.MULTILINE) is not None
        assert (re.search(r"^  nullable += false$", text, re.MULTILINE) is None) == may_be_null, variable


@pytest.mark.parametrize("name", STAGES)
def test_every_validation_is_shown_to_refuse_something(name: str) -> None:
    variables = dict(blocks(name, "variable"))
    tests = "".join(path.read_text("utf-8") for path in (SOURCE / name / "tests").glob("*.tftest.hcl"))
    refused = set(re.findall(r"var\.(\w+)", "\n".join(re.findall(r"expect_failures = \[(.*?)\]", tests, re.DOTALL))))
    validated = {variable for variable, text in variables.items() if "  validation {" in text}
    assert validated <= refused
    # What is neither true nor false can be wrong.
    free = {
        variable for variable, text in variables.items() if not re.search(r"^  type +=.* bool$", text, re.MULTILINE)
    }
    assert free <= validated


def test_stages_mean_the_same_by_the_same_variable() -> None:
    told = [dict(blocks(name, "variable")) for name in STAGES]
    shared = {"stack", "region", "tags"}
    assert all(
        {name: text for name, text in stage.items() if name in shared} == {name: told[0][name] for name in shared}
        for stage in told
    )


@pytest.mark.parametrize("name", STAGES)
def test_a_first_plan_makes_things_and_changes_none(name: str, plans: Mapping[str, Any]) -> None:
    made = changes(plans[name])
    assert made
    known = {"aws_kms_key.runs[0]"}  # made before the plan
    assert [
        change["address"]
        for change in made
        if change["change"]["actions"] != ["create"] and change["address"] not in known
    ] == []


@pytest.mark.parametrize("name", STAGES)
def test_everything_that_can_be_tagged_tells_its_stack(name: str, plans: Mapping[str, Any]) -> None:
    tags = plans[name]["configuration"]["provider_config"]["aws"]["expressions"]["default_tags"]
    assert "var.tags" in tags[0]["tags"]["references"]
    assert "var.stack" in tags[0]["tags"]["references"]


def names(plan: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return what must be unique in an account: type and name of everything that has a name of its own."""
    fields = ("name", "bucket", "function_name", "alarm_name")
    parts = {"aws_iam_role_policy", "aws_dynamodb_table_item"}  # named inside of what they belong to
    found = set()
    for change in changes(plan):
        after = change["change"]["after"]
        for field in fields:
            if isinstance(after.get(field), str) and change["type"] not in parts:
                found.add((change["type"], after[field]))
    return found


def test_two_stacks_live_in_one_account(stages: Mapping[str, Stage], plans: Mapping[str, Any], tmp_path: Path) -> None:
    other = stages["deploy"].copy(tmp_path / "deploy")
    settings = json.loads((other.folder / "test.auto.tfvars.json").read_text("utf-8"))
    (other.folder / "test.auto.tfvars.json").write_text(
        json.dumps(settings | {"stack": "umbrella", "manage_api_gateway_account": False}), "utf-8"
    )
    theirs_planned = other.plan(**secrets("deploy"))
    ours, theirs = names(plans["deploy"]), names(theirs_planned)
    assert len(ours) > 40
    assert ours & theirs == set()
    assert [name for _, name in ours if STACK not in name] == []
    # An account has one of it, so only one stack may set it.
    assert "aws_api_gateway_account" in {change["type"] for change in changes(plans["deploy"])}
    assert "aws_api_gateway_account" not in {change["type"] for change in changes(theirs_planned)}


def changed(plan: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what a plan does to each resource that does not stay as it is."""
    return {
        change["address"]: change["change"]["actions"]
        for change in changes(plan)
        if change["change"]["actions"] != ["no-op"]
    }


def test_a_deployment_that_changes_nothing_touches_nothing(applied: Stage, tmp_path: Path) -> None:
    stage = applied.copy(tmp_path / "deploy")
    assert changed(stage.plan("-refresh=false", **secrets("deploy"))) == {}


def test_an_upgrade_changes_what_runs_the_image_and_nothing_else(applied: Stage, tmp_path: Path) -> None:
    stage = applied.copy(tmp_path / "deploy")
    stage.change("test.auto.tfvars.json", DIGEST, "sha256:" + "b" * 64)
    actions = changed(stage.plan("-refresh=false", **secrets("deploy")))
    assert {address.partition(".")[0] for address in actions} == {
        "aws_lambda_function",
        "aws_codebuild_project",
        "aws_ssm_parameter",
    }
    assert all(action == ["update"] for action in actions.values())
    assert "aws_ssm_parameter.webhook_secret" not in actions


def test_only_a_destroy_goes_without_the_webhook_secret(applied: Stage, tmp_path: Path) -> None:
    stage = applied.copy(tmp_path / "deploy")
    with pytest.raises(TerraformFailed, match="TF_VAR_webhook_secret"):
        stage.run("plan", "-refresh=false")
    assert "Destroy complete!" in stage.run("destroy", "-auto-approve", "-refresh=false")
