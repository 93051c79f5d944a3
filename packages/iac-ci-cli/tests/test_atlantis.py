"""Files of Atlantis become configurations; what is not as it was there has a remark with its line."""

from __future__ import annotations

import pytest

from iac_ci_cli.atlantis_conversion import convert
from iac_ci_cli.atlantis_file import read_file
from iac_ci_cli.errors import CommandFailed
from iac_ci_triggers.configuration import read_configuration


def converted(text, folders=()):
    """Return the configuration of a file and the remarks; each configuration is valid."""
    made = convert(read_file(text.encode(), "atlantis.yaml"), frozenset(folders))
    return read_configuration(made.text.encode()), made.remarks


def remarks(found, line):
    return [text for number, text in found if number == line]


def test_a_folder_is_a_project():
    configuration, found = converted("version: 3\nprojects:\n- dir: ./infra/\n- dir: .\n", {"", "infra"})
    assert [rule.folder for rule in configuration.projects] == ["infra", "."]
    assert not any("exist" in text for _, text in found)


def test_merge_keys_and_anchors_are_read():
    text = """version: 3
projects:
- &base
  dir: nowhere
  workflow: own
  apply_requirements: []
- <<: *base
  name: one
  dir: a/one
- <<: *base
  dir: a/two
  apply_requirements: [approved]
workflows:
  own: {plan: {steps: [init, plan]}}
"""
    configuration, found = converted(text, {"a/one", "a/two"})
    assert [(rule.folder, rule.workflow) for rule in configuration.projects] == [
        ("nowhere", "own"),
        ("a/one", "own"),
        ("a/two", "own"),
    ]
    assert any("'nowhere' does not exist" in text for text in remarks(found, 4))
    assert any("none is asked" in text for text in remarks(found, 6))
    assert any("apply_requirements is not converted" in text for text in remarks(found, 12))
    assert any("'one' is not kept" in text for text in remarks(found, 8))


def test_named_folders_come_before_patterns_and_what_is_discovered():
    text = """version: 3
autodiscover: {mode: enabled, ignore_paths: ["sand/**"]}
projects:
- dir: stacks/*/prod
  autoplan: {when_modified: ["*.tf", "../../../shared/**/*.tf", "!x.tf", "../../../../out"]}
- dir: stacks/pay/prod
  workspace: other
"""
    configuration, found = converted(text)
    named, pattern, discovered = configuration.projects
    assert (named.folder, named.workspace) == ("stacks/pay/prod", "other")
    assert pattern.find[0] == "stacks/*/prod/*.tf"
    assert pattern.watch == ["shared/**/*.tf"]
    assert discovered.find[-1] == "!sand/**"
    assert any("leads out of the repository" in text for text in remarks(found, 5))
    assert any("'!x.tf' is not converted" in text for text in remarks(found, 5))
    assert any("autodiscover finds folders of changed files" in text for text in remarks(found, 2))


def test_a_workflow_becomes_commands():
    text = """version: 3
projects:
- {dir: a, workspace: prod, workflow: own}
workflows:
  own:
    plan:
      steps:
      - init: {extra_args: ["-backend-config=env/$WORKSPACE.hcl"]}
      - plan:
          extra_args: ["-var 'a=b c'", "-lock-timeout=1m", "-var-file={{.X}}"]
      - show
      - run: ./check $SHOWFILE $PULL_NUM
    apply:
      steps:
      - apply:
          extra_args: ["-var-file", "x.tfvars"]
    import: {steps: [init]}
"""
    configuration, found = converted(text)
    workflow = configuration.workflows["own"]
    assert workflow.plan == [
        'terraform init -input=false -no-color "-backend-config=env/$WORKSPACE.hcl"',
        'terraform workspace select -or-create=true "$WORKSPACE"',
        'terraform plan -input=false -no-color -out="$PLANFILE" -var "a=b c" -lock-timeout=1m "-var-file={{.X}}"',
        "./check $SHOWFILE $PULL_NUM",
    ]
    assert workflow.apply == ['terraform apply -input=false -no-color "$PLANFILE"']
    assert any("is divided as a shell would" in text for text in remarks(found, 10))
    assert any("nobody replaces" in text for text in remarks(found, 10))
    assert any("the step show is not converted" in text for text in remarks(found, 11))
    assert remarks(found, 12) == ["$PULL_NUM is called $IACCI_PR_NUMBER here", "$SHOWFILE is a variable of Atlantis that commands do not have here"]  # fmt: skip  # noqa: E501
    assert len([text for text in remarks(found, 16) if "left out of the apply" in text]) == 2
    assert any("the stage import" in text for text in remarks(found, 17))


def test_variables_hold_for_the_steps_after_them():
    text = """version: 3
projects: [{dir: a, workflow: own}]
workflows:
  own:
    plan:
      steps:
      - env: {name: ONE, value: "it's $x"}
      - env: {name: TWO, command: date +%s}
      - multienv: ./more
      - plan
"""
    configuration, found = converted(text)
    (script,) = configuration.workflows["own"].plan
    assert script.splitlines() == [
        "set -e",
        'export PLANFILE="$PWD/$PLANFILE"',
        'export ONE="it\'s $x"',
        'TWO="$(date +%s)"',
        "export TWO",
        'terraform plan -input=false -no-color -out="$PLANFILE"',
    ]
    assert any("multienv is not converted" in text for text in remarks(found, 9))


def test_a_terragrunt_workspace_is_none():
    text = """version: 3
projects:
- {name: one, dir: live/one, workspace: live_one, workflow: tg}
- {dir: live/two, workflow: tg, depends_on: [one, none], execution_order_group: 2}
- {dir: live, workflow: all}
workflows:
  tg: {plan: {steps: [{run: terragrunt plan -out=$PLANFILE}]}, apply: {steps: [{run: terragrunt apply $PLANFILE}]}}
  all: {plan: {steps: [{run: terragrunt run --all plan}]}, apply: {steps: [{run: terragrunt run --all apply}]}}
"""
    configuration, found = converted(text)
    one, two, _ = configuration.projects
    assert (one.tool.value, one.workspace, two.depends_on) == ("terragrunt", None, ["live/one"])
    assert configuration.workflows["tg"].plan == ['export PLANFILE="$PWD/$PLANFILE"\nterragrunt plan -out=$PLANFILE']
    assert not configuration.workflows["all"].saves_plan
    assert any("would begin an empty state" in text for text in remarks(found, 3))
    assert any("'none' names no project" in text for text in remarks(found, 4))
    assert any("groups are barriers" in text for text in remarks(found, 4))
    assert any("writes no plan file" in text for text in remarks(found, 8))


@pytest.mark.parametrize(
    ("text", "line", "remark"),
    [
        ("projects: [{dir: a}]", 1, "version is missing"),
        ("version: 3\nprojects: [{dir: a}]\nworkflow: {}", 3, "did you mean workflows?"),
        ("version: 3\nprojects: [{dir: a, wat: 1}]", 2, "'wat' of a project is unknown"),
        ("version: 3\nprojects: [{dir: /a}]", 2, "is not below the repository's root; taken as 'a'"),
        ("version: 3\nprojects:\n- {dir: a}\n- {name: b}", 4, "has no dir"),
        ("version: 3\nprojects: [{dir: a, workflow: w}]", 2, "the workflow 'w' is not in this file"),
        ("version: 3\nprojects: [{dir: a, branch: /main/}]", 2, "also matches parts of names"),
        ("version: 3\nprojects: [{dir: a, autoplan: {enabled: false}}]", 2, "autoplan is off there"),
        ("version: 3\nprojects: [{dir: a, terraform_version: 1.2.3}]", 2, "commands use the Terraform of the engine's image"),  # noqa: E501
        ("version: 3\nprojects: [{dir: a, autoplan: {when_modified: [./a/x.tf]}}]", 2, "means 'a/a/x.tf' there"),
        ("version: 3\nautomerge: true\nprojects: [{dir: a}]", 2, "pull requests are not merged"),
        ("version: 3\nprojects: [{dir: a}]\nworkflows: {w: {}}", 3, "is used by no project of this file"),
        ("version: 3\nprojects: [{dir: a, workspace: w}]", 2, "Atlantis reads env/w.tfvars"),
        ("respect_layers: true\nprojects: [{dir: a, layer: 1, terragrunt: true}]", 2, "layers are barriers"),
    ],
)  # fmt: skip
def test_each_difference_is_said_with_its_line(text, line, remark):
    _, found = converted(text)
    assert any(remark in said for said in remarks(found, line)), found


def test_a_server_file_is_said_setting_by_setting():
    text = "repos:\n- id: /.*/\n  pre_workflow_hooks:\n  - run: x\npolicies:\n  owners: {}\n"
    made = convert(read_file(text.encode(), "repos.yaml"), frozenset())
    assert made.text == ""
    assert [line for line, _ in made.remarks] == [1, 2, 3, 5, 6]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"version: 3\nprojects: []\n\nversion: 3\n", "line 4: repeats the key 'version' of line 1"),
        (b"a: [", "line 1: is no YAML"),
        (b"- a", "line 1: is no mapping"),
        (b"", "line 1: is no mapping"),
        (b"\xff", "is not UTF-8"),
        (b"a: &a [*a]", "is no YAML|too deep"),
        (b"a: " + b"[" * 3000, "is no YAML|too deep"),
        (b"a: &a [1,1,1,1,1,1,1,1,1,1]\n" + b"".join(b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (98 + n, 98 + n, *[97 + n] * 9) for n in range(8)), "too many"),  # noqa: E501
    ],
)  # fmt: skip
def test_a_file_that_atlantis_refuses_is_refused(content, problem):
    with pytest.raises(CommandFailed, match=problem):
        read_file(content, "atlantis.yaml")
