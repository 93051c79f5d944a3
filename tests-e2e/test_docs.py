"""What the documents say is so: commands run, files exist, schemas and fields are the models'."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from iac_ci_common import schemas
from iac_ci_common.models.job import Job, Order
from iac_ci_triggers import schemas as trigger_schemas

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    path
    for pattern in (
        "*.md",
        "docs/*.md",
        "examples/*/*.md",
        "packages/*/*.md",
        "terraform/deploy/stack/*.md",
        "tests-e2e/*/*.md",
    )
    for path in ROOT.glob(pattern)
)
# The suite itself cannot be run from within the suite; `.ci/run` runs it by this very command.
RUN_ELSEWHERE = {".ci/test", ".ci/run"}
# This one stays until it is ended: `test_pull_request.py` runs it, and ends it.
RUN_ELSEWHERE |= {".ci/iac-ci local pr examples/pull-request"}


def commands():
    for document in DOCUMENTS:
        for block in re.findall(r"```(?:console|sh)\n(.*?)```", document.read_text("utf-8"), re.DOTALL):
            for line in block.splitlines():
                command = line.removeprefix("$ ").strip()
                if line.startswith("$ ") and command not in RUN_ELSEWHERE:
                    yield pytest.param(command, id=f"{document.relative_to(ROOT)}: {command}")


@pytest.mark.local_cloud
@pytest.mark.parametrize("command", list(dict.fromkeys(commands())))
def test_commands_of_the_documents_work(command):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_documents_link_to_exists(document):
    text = document.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith(("http://", "https://")):
            assert (document.parent / target).exists(), target
    for target in re.findall(r"`((?:packages|terraform|examples|docs)/[^`\s<*]+)`", text):
        assert (ROOT / target).exists(), target


SCHEMAS = {**schemas.MODELS, **trigger_schemas.MODELS}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_committed_schemas_are_the_models(name):
    assert (ROOT / "docs" / "schemas" / f"{name}.json").read_text("utf-8") == schemas.schema(SCHEMAS[name])


def test_the_contract_names_every_field_and_no_other():
    text = (ROOT / "docs" / "contract.md").read_text("utf-8")
    tables = text.split("## The job", 1)[1].split("## What commands get", 1)[0]
    job, order = tables.split("### An order", 1)
    for part, model in ((job, Job), (order, Order)):
        named = {
            name for row in re.findall(r"^\| (`[^|]*) \|", part, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
        }
        assert named == set(model.model_fields)


def test_the_flow_names_only_files_that_exist():
    text = (ROOT / "docs" / "flow.md").read_text("utf-8")
    section = ""
    for line in text.splitlines():
        heading = re.match(r"## \d\. .*`packages/([a-z-]+)`", line)
        if heading:
            section = heading.group(1)
        for name in re.findall(r"(?<![/\w])`(\w+\.py)`", line):
            folder = ROOT / "packages" / section
            assert list(folder.rglob(name)), f"{section}: {name}"
