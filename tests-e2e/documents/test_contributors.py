"""What contributors and people who take the code need: the licence, the forms, the hooks and the workflow."""

from __future__ import annotations

import re
import shlex
import tomllib

import pytest
import yaml

from documents.blocks import ROOT

PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
RECORDS = sorted(path for path in (ROOT / "docs/decisions").glob("*.md") if path.name != "README.md")


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_package_has_the_licence_that_it_declares(package):
    project = tomllib.loads((package / "pyproject.toml").read_text("utf-8"))["project"]
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
    assert (package / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_workflow_runs_what_every_change_must_pass():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert workflow["permissions"] == {"contents": "read"}
    for action in (step["uses"] for step in job["steps"] if "uses" in step):
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), f"{action} can change under its name"


def test_the_hooks_are_steps_of_what_every_change_must_pass():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    steps = (ROOT / ".ci/run").read_text("utf-8")
    for hook in repository["hooks"]:
        words = shlex.split(hook["entry"])
        assert words[:3] == ["uv", "run", "--no-sync"]
        if words[3] == "python":
            assert (ROOT / words[4]).is_file()
        else:
            assert " ".join(word for word in words[3:] if word != "--force-exclude") in steps, hook["id"]


@pytest.mark.parametrize("form", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem)
def test_a_form_is_one_that_the_host_can_show(form):
    content = yaml.safe_load(form.read_text("utf-8"))
    if form.stem == "config":
        assert content == {"blank_issues_enabled": False}
        return
    assert {"name", "description", "body"} <= content.keys()
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_decision_has_its_four_parts_and_is_linked(record):
    headings = re.findall(r"^## (.*)$", record.read_text("utf-8"), re.MULTILINE)
    assert headings == ["Context", "Decision", "Cost", "Alternatives"]
    index = (ROOT / "docs/decisions/README.md").read_text("utf-8")
    assert index.count(f"| [{record.name}]({record.name}) |") == 1
    pages = [path for path in (ROOT / "docs").glob("*.md") if f"decisions/{record.name}" in path.read_text("utf-8")]
    assert pages, f"no page links {record.name}"
