"""The data in the documents is valid: jobs, configurations, settings, schemas."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
import yaml

from documents.blocks import DOCUMENTS, ROOT, blocks
from iac_ci_cli import answers
from iac_ci_common import schemas
from iac_ci_common.grants import EVERYTHING, Grants
from iac_ci_common.job_validation.check import check_job
from iac_ci_common.job_validation.rules import Rules
from iac_ci_common.models.announcement import SOURCE, Announcement, AnnouncementKind
from iac_ci_common.models.job import Job, Order
from iac_ci_common.states import RUN_TERMINAL
from iac_ci_local.codebuild.requests import COMPUTE_TYPES
from iac_ci_local.seed_secrets import SECRETS_FILE, read_secrets
from iac_ci_triggers import schemas as trigger_schemas
from iac_ci_triggers.configuration import read_configuration
from iac_ci_triggers.connections import read_connections
from iac_ci_vcs.provider import HostSettings

SCHEMAS = {**schemas.MODELS, **trigger_schemas.MODELS}
DATA = [block for page in DOCUMENTS for block in blocks(page) if block.language in {"json", "yaml", "toml", "hcl"}]
A_JOB = {"username": "tests", "orders": [{"cmds": ["true"], "timeout": 60}]}


def check_json(block, tmp_path):
    """Read a JSON block as the model that it is an example of."""
    content = json.loads(block.text)
    if block.file == SECRETS_FILE:
        (tmp_path / SECRETS_FILE).write_text(block.text, "utf-8")
        assert read_secrets(tmp_path)
    elif "orders" in content:
        check_job(block.text.encode(), Rules(grant=EVERYTHING), code="s3://bucket/code.zip")
    elif "connections" in content:
        assert read_connections(json.dumps(content["connections"])).hosts
    elif "code_hosts" in content:
        for settings in content["code_hosts"].values():
            HostSettings(**settings)
    elif "role_allow_list" in content:
        granted = Grants(roles=content["role_allow_list"])
        roles = content["target_role_arns"]
        assert all(granted.of(source).allows_role(role) for source in granted.roles for role in roles)
    elif "order_sizes" in content:
        assert set(content["order_sizes"].values()) <= set(COMPUTE_TYPES)
        for size in content["order_sizes"]:
            Order.model_validate({**A_JOB["orders"][0], "size": size})
    elif "notifications" in content:
        for target in content["notifications"].values():
            assert target["kind"] in {"slack", "https", "sns"}
            assert set(target.get("events", [])) <= set(AnnouncementKind)
            assert set(target.get("statuses", [])) <= set(RUN_TERMINAL)
    elif "detail-type" in content:
        # A pattern of EventBridge: lists of values at the names of an announcement.
        assert content["source"] == [SOURCE]
        assert set(content["detail-type"]) <= set(AnnouncementKind)
        assert set(content["detail"]) <= set(Announcement.model_fields)
    elif "Statement" in content:
        assert content["Version"] == "2012-10-17"
        for statement in content["Statement"]:
            assert {"Effect", "Action"} < statement.keys()
    else:
        # A part of an order.
        Order.model_validate({**A_JOB["orders"][0], **content})


@pytest.mark.parametrize("block", DATA, ids=lambda block: block.name)
def test_data_is_valid(block, tmp_path):
    if block.language == "json":
        check_json(block, tmp_path)
    elif block.language == "yaml" and "\nrepos:" in block.text:
        (hook,) = yaml.safe_load(block.text)["repos"][0]["hooks"]
        (ours,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
        assert hook == {name: ours[name] for name in hook}
    elif block.language == "yaml":
        configuration = read_configuration(block.text.encode())
        assert configuration.jobs or configuration.projects
    elif block.language == "toml":
        assert tomllib.loads(block.text)
    else:
        assert block.file is not None, "Terraform that no page writes and runs"


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_committed_schemas_are_the_models(name):
    assert (ROOT / "docs" / "schemas" / f"{name}.json").read_text("utf-8") == schemas.schema(SCHEMAS[name])


def test_the_committed_schema_of_the_command_line_is_its_answers():
    assert (ROOT / "docs" / "schemas" / "command-line.json").read_text("utf-8") == answers.document()


def test_the_contract_names_every_field_and_marks_the_required_ones():
    text = (ROOT / "docs" / "contract.md").read_text("utf-8")
    tables = text.split("## The job", 1)[1].split("## What commands get", 1)[0]
    job, order = tables.split("### An order", 1)
    for part, model in ((job, Job), (order, Order)):
        rows = re.findall(r"^\| (`[^|]*) \|[^|]*\| (.*) \|$", part, re.MULTILINE)
        named = {name: meaning for names, meaning in rows for name in re.findall(r"`(\w+)`", names)}
        assert named.keys() == model.model_fields.keys()
        required = {name for name, meaning in named.items() if meaning.startswith("**required**")}
        assert required == {name for name, field in model.model_fields.items() if field.is_required()}
