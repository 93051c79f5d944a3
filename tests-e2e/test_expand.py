"""The jobs that ``iac-ci expand`` prints, read as a configuration, give the very orders that the engine starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from iac_ci_common.models.job import Order
from iac_ci_triggers.configuration import Configuration, TemplateValues, expand, read_configuration
from iac_ci_vcs.provider import ChangedFile, ChangeKind

sys.path.insert(0, str(Path(__file__).parents[1] / "packages" / "iac-ci-init" / "tests"))
from event_harness import HEAD, REPOSITORY, WRITER, Hosted
from test_reviewed_plans import Planned

CONFIGURATION = """
version: 1
defaults: {timeout: 200, env_vars: {TF_VAR_owner: "{{ actor }}"}}
statuses: orders
projects:
  - find: "live/**/main.tf"
    role: {plan: "arn:aws:iam::111122223333:role/plan", apply: "arn:aws:iam::111122223333:role/apply"}
  - folder: stack
    matrix: {stage: [dev, prod]}
    workspace: "{{ matrix.stage }}"
    var_files: ["../vars/it's {{ matrix.stage }}.tfvars"]
    workflow: own
    depends_on: [live/net]
workflows:
  own: {plan: ['make plan OUT="$PLANFILE"'], apply: ['make apply PLAN="$PLANFILE" WORKSPACE="$WORKSPACE"']}
jobs:
  lint: {on: {command: lint}, matrix: {part: [a, b]}, orders: [{name: "lint-{{ matrix.part }}", cmds: [./lint]}]}
"""
FILES = {
    ".iac-ci.yml": CONFIGURATION,
    "live/net/main.tf": 'module "vpc" { source = "../../modules/vpc" }\n',
    "live/it's/main.tf": 'module "vpc" {\n  source = "../../modules/vpc"\n}\n',
    "stack/main.tf": 'module "vpc" { source = "../modules/vpc" }\n',
    "modules/vpc/main.tf": "",
    "vars/it's dev.tfvars": "",
}
CHANGED = {"modules/vpc/main.tf": "# changed\n"}


@pytest.fixture
def checkout(tmp_path):
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "base"]):
        subprocess.run([*git, *command], check=True)
    for path, text in CHANGED.items():
        (tmp_path / path).write_text(text)
    return tmp_path


def printed(folder, *options):
    program = str(Path(sys.executable).with_name("iac-ci"))
    return subprocess.run([program, "expand", str(folder), *options], check=True, capture_output=True).stdout


@pytest.mark.parametrize("word", ["plan", "apply", "lint"])
@pytest.mark.parametrize("options", [(), ("--since", "main")])
def test_what_is_printed_is_what_runs(checkout, word, options):
    if word == "lint" and options:
        return  # only projects are printed
    hosted = Hosted()
    hosted.configure(CONFIGURATION.encode())
    hosted.trees.trees[f"{REPOSITORY}.git", HEAD] = {path: text.encode() for path, text in (FILES | CHANGED).items()}
    hosted.host.changes[7] = tuple(ChangedFile(path, ChangeKind.MODIFIED) for path in CHANGED)
    if word == "apply":
        hosted.comment("/iac-ci plan")
        for name, project in hosted.jobs[0].projects.items():
            Planned.enter(hosted, name, project)
    hosted.comment(f"/iac-ci {word}")
    configuration = read_configuration(printed(checkout, *options))
    values = TemplateValues(
        pr_number=7, sha=HEAD, branch="change", base_branch="main", actor=WRITER.login, command=word
    )
    # The orders that --since prints are those that run, whatever has changed.
    changed = None if options else list(CHANGED)
    orders = expand(configuration, word, values, changed, None).orders
    ran = [order.model_dump(include=set(Order.model_fields)) for order in hosted.jobs[-1].job.orders]
    assert [order.model_dump() for order in orders] == ran
    assert len(ran) == {"plan": 4, "apply": 4, "lint": 2}[word]


def test_json_holds_the_same(checkout):
    found = json.loads(printed(checkout, "--json"))
    assert Configuration.model_validate(found["configuration"]) == read_configuration(printed(checkout))
    assert (found["schema_version"], found["left_out"], found["remarks"]) == (1, [], [])
