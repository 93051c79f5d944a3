"""docs/configuration.md: its example is read and runs as it says, and it names every field, template and command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from iac_ci_triggers.configuration import (
    BUILT_IN_COMMANDS,
    Configuration,
    TemplateValues,
    expand,
    jobs_for_command,
    jobs_for_pull_request,
    jobs_for_push,
    read_configuration,
)
from iac_ci_triggers.configuration.models import (
    ConfiguredJob,
    ConfiguredOrder,
    ProjectRule,
    PullRequestTrigger,
    PushTrigger,
    Roles,
    Settings,
    Triggers,
    Workflow,
)
from iac_ci_triggers.configuration.templates import VARIABLES, variable

pytestmark = pytest.mark.source_tree

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"
if not PAGE.exists():
    pytest.skip("the package stands alone, without the project's pages", allow_module_level=True)
TEXT = PAGE.read_text("utf-8")
PROJECTS = PAGE.with_name("projects.md").read_text("utf-8")
SMALLEST, EXAMPLE, *_ = (block.encode() for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL))
VALUES = TemplateValues(pr_number=7, sha="0" * 40, actor="mona")


def test_the_example_does_what_its_comments_say():
    configuration = read_configuration(EXAMPLE)
    changed = ["terraform/apps/shop/main.tf", "README.md"]
    assert jobs_for_pull_request(configuration, "release/2", changed).jobs == ("plan",)
    assert jobs_for_pull_request(configuration, "main", ["terraform/README.md"]).jobs == ()
    assert jobs_for_command(configuration, "deploy").jobs == ("apply",)
    assert jobs_for_push(configuration, "main", changed).jobs == ("drift",)
    assert [made.order_name for made in expand(configuration, "plan", VALUES, None, None).orders] == [
        "plan-network",
        "plan-apps-shop",
    ]
    (shop,) = expand(configuration, "plan", VALUES, changed, None).orders
    assert shop.git_folder == "terraform/apps/shop"
    assert shop.env_vars["TF_IN_AUTOMATION"] == "true"
    assert shop.env_vars["TF_VAR_change"] == f"pull request 7 at {VALUES.sha}"
    network, shop = expand(configuration, "apply", VALUES, changed, "shop").orders
    assert shop.dependencies == [network.order_name]


def test_the_smallest_file_holds_what_is_required_and_no_more():
    configuration = read_configuration(SMALLEST)
    assert jobs_for_pull_request(configuration, "main", ["README.md"]).jobs == ("plan",)
    assert jobs_for_command(configuration, "plan").jobs == ("plan",)
    required = set(re.findall(r"^\| `([a-z_]+)` \| \*\*required\*\*", TEXT, re.MULTILINE))
    models = (Configuration, ConfiguredJob, ConfiguredOrder)
    assert required == {name for model in models for name, field in model.model_fields.items() if field.is_required()}


def test_the_example_is_as_the_schema_says():
    # Read as editors do, but for `on`, which this reader takes for a boolean.
    content = json.loads(json.dumps(yaml.safe_load(EXAMPLE)).replace('"true": {', '"on": {'))
    schema = Configuration.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert list(validator.iter_errors(content)) == []
    content["jobs"]["drift"]["on"]["push"] = None
    assert validator.is_valid(content)
    content["jobs"]["drift"]["on"]["psuh"] = None
    assert not validator.is_valid(content)


@pytest.mark.parametrize(
    ("heading", "models"),
    [
        ("## The file", [Configuration, Settings]),
        ("### A job", [ConfiguredJob, Triggers, PullRequestTrigger, PushTrigger]),
        ("### An order", [ConfiguredOrder]),
    ],
)
def test_every_field_is_named(heading, models):
    part = TEXT.split(heading, 1)[1].split("\n#", 1)[0]
    named = set(re.findall(r"`([a-z_]+)`", part))
    assert {name for model in models for name in model.model_fields} <= named


def test_every_template_and_command_is_named():
    rows = dict(re.findall(r"^\| `\{\{ ([\w.]+) \}\}` \| `(\w+)` \|", TEXT, re.MULTILINE))
    assert rows == {name: variable(name) for name in VARIABLES}
    assert all(f"`{word}`" in TEXT for word in BUILT_IN_COMMANDS)


def test_every_field_of_projects_is_named():
    named = set(re.findall(r"`([a-z_]+)(?:: [a-z]+)?`", PROJECTS))
    assert {name for model in (ProjectRule, Roles, Workflow) for name in model.model_fields} <= named


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PROJECTS, re.DOTALL))
def test_the_examples_of_projects_are_valid(block):
    assert read_configuration(block.encode()).projects
