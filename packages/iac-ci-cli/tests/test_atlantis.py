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
    base, one, two = (rule.apply.require for rule in configuration.projects)
    assert (base.approved, base.mergeable, base.undiverged) == (None, False, False)
    assert one == base
    assert (two.approved.count, two.mergeable, two.undiverged) == (1, False, False)
    assert any("newest commit alone" in text for text in remarks(found, 12))
    assert any("'one' is not kept" in text for text in remarks(found, 8))


def test_named_folders_come_before_patterns_and_what_is_discovered():
    text = """version: 3
autodiscover: {mode: enabled, ignore_paths: ["sand/**"]}
projects:
- dir: stacks/*/prod
  autoplan: {when_modified: ["*.tf", "../../../modules/**/*.tf", "!x.tf", "../../../../out"]}
- dir: stacks/pay/prod
  workspace: other
"""
    configuration, found = converted(text)
    named, pattern, discovered = configuration.projects
    assert (named.folder, named.workspace) == ("stacks/pay/prod", "other")
    assert pattern.find[0] == "stacks/*/prod/*.tf"
    assert pattern.watch == ["modules/**/*.tf"]
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


@pytest.mark.parametrize(
    ("arguments", "plan", "apply"),
    [
        ('["-var", "a=b c"]', '-var "a=b c"', ""),
        ("[\"-var 'a=b c'\"]", '-var "a=b c"', ""),
        ('["-var=a=b c"]', '"-var=a=b c"', ""),
        ("['-var=l=[\"x\"]']", '"-var=l=[\\"x\\"]"', ""),
        ("['-var', 'l=[\"x\"]']", '-var "l=[\\"x\\"]"', ""),
        ("['-lock-timeout=\"1m\"']", "-lock-timeout=1m", "-lock-timeout=1m"),
        ('["-lock-timeout", "1m", "-var", "a=b"]', "-lock-timeout 1m -var a=b", "-lock-timeout 1m"),
    ],
)
def test_arguments_keep_their_meaning(arguments, plan, apply):
    stages = ", ".join(f"{word}: {{steps: [{{{word}: {{extra_args: {arguments}}}}}]}}" for word in ("plan", "apply"))
    configuration, _ = converted(f"version: 3\nprojects: [{{dir: a, workflow: w}}]\nworkflows: {{w: {{{stages}}}}}\n")
    workflow = configuration.workflows["w"]
    assert workflow.plan == [f'terraform plan -input=false -no-color -out="$PLANFILE" {plan}']
    assert workflow.apply == [" ".join(filter(None, ["terraform apply -input=false -no-color", apply, '"$PLANFILE"']))]


def test_a_version_becomes_one_of_tools_and_opentofu_runs_tofu():
    text = """version: 3
projects:
- {dir: a, terraform_version: v1.9.8}
- {dir: b, terraform_version: 1.8.0, terraform_distribution: opentofu, workflow: w}
- {dir: c, workflow: default}
workflows: {w: {plan: {steps: [init, plan]}}}
"""
    configuration, found = converted(text)
    assert [dict(rule.tools) for rule in configuration.projects] == [{"terraform": "1.9.8"}, {"opentofu": "1.8.0"}, {}]
    workflow = configuration.workflows["w"]
    assert {command.split()[0] for command in (*workflow.plan, *workflow.apply)} == {"tofu"}
    assert [line for line, text in found if "workflow" in text or "version" in text] == []


def test_files_of_variables_that_atlantis_reads_by_itself_are_named_if_they_are_there():
    text = """version: 3
projects:
- {dir: a}
- {dir: b, workspace: prod}
- {dir: c}
- {dir: d, workflow: w}
workflows: {w: {plan: {steps: [init, plan]}}}
"""
    files = {"a/env/default.tfvars", "b/env/prod.tfvars", "c/main.tf", "d/env/default.tfvars"}
    made = convert(read_file(text.encode(), "atlantis.yaml"), {"", "a", "b", "c", "d"}, files)
    rules = read_configuration(made.text.encode()).projects
    assert [rule.var_files for rule in rules] == [["env/default.tfvars"], ["env/prod.tfvars"], [], []]
    assert [line for line, text in made.remarks if "reads env/" in text] == [3, 4, 6]


def test_a_pattern_of_a_folder_watches_what_is_below_it():
    patterns = '[../../rules, ../all/, "../../lib/*", ../x.tf]'
    text = f"version: 3\nprojects: [{{dir: a/b, autoplan: {{when_modified: {patterns}}}}}]\n"
    (rule,) = converted(text)[0].projects
    assert rule.watch == ["rules", "rules/**", "a/all", "a/all/**", "lib/**", "a/x.tf"]


@pytest.mark.parametrize("command", ["terraform -chdir=x plan -out=$PLANFILE", "cd x && terraform plan -out=$PLANFILE"])
def test_the_plan_file_is_a_whole_path_where_terraform_runs_in_another_folder(command):
    workflows = f"{{w: {{plan: {{steps: [{{run: '{command}'}}]}}}}}}"
    text = f"version: 3\nprojects: [{{dir: a, workflow: w}}]\nworkflows: {workflows}\n"
    assert converted(text)[0].workflows["w"].plan == [f'export PLANFILE="$PWD/$PLANFILE"\n{command}']


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
        """export ONE='it'"'"'s $x'""",
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
        ("version: 3\nprojects: [{dir: a, autoplan: {enabled: false}}]", 2, "only a comment that names the project"),
        ("version: 3\nprojects: [{dir: a, terraform_version: <V>}]", 2, "is not a version like 1.11.4; it is not"),
        ("version: 1\nprojects: [{dir: a}]", 1, "which knows 2 and 3"),
        ("version: 3\nprojects: {dir: a}", 2, "projects is no list"),
        ("version: 3\nprojects: [{dir: a}]\nworkflows: [w]", 3, "workflows is no mapping"),
        ("version: 3\nprojects: [{dir: a}]\nautodiscover: enabled", 3, "autodiscover is no mapping"),
        ("version: 3\nprojects: [{dir: a, workflow: w}]\nworkflows: {w: {plan: [init]}}", 3, "has no steps: Atlantis refuses it"),  # noqa: E501
        ("version: 3\nprojects: [{dir: a, workflow: w}]\nworkflows: {w: {plan: {steps: [show]}}}", 3, "the usual ones run"),  # noqa: E501
        ("version: 3\nprojects: [{dir: a, workflow: w}]\nworkflows: {w: 1}", 3, "is no mapping: Atlantis refuses it"),
        ("version: 3\nprojects: [{dir: a}]\nsilence_pr_comments: [plan]", 3, "each run has one comment"),
        ("version: 3\nprojects: [{dir: a}, {dir: ../a}]", 2, "leads out of the repository, and the entry is left out"),
        ("version: 3\nprojects:\n- {dir: a}\n- {dir: a/}", 4, "the folder 'a' with the workspace default"),
        ("version: 3\nprojects: [{dir: a, autoplan: {when_modified: [./a/x.tf]}}]", 2, "means 'a/a/x.tf' there"),
        ("version: 3\nautomerge: true\nprojects: [{dir: a}]", 2, "the applied commit alone is merged"),
        ("version: 3\nprojects: [{dir: a}]\nworkflows: {w: {}}", 3, "is used by no project of this file"),
        ("version: 3\nprojects: [{dir: a, workspace: w}]", 2, "Atlantis reads env/w.tfvars"),
        ("respect_layers: true\nprojects: [{dir: a, layer: 1, terragrunt: true}]", 2, "layers are barriers"),
    ],
)  # fmt: skip
def test_each_difference_is_said_with_its_line(text, line, remark):
    _, found = converted(text)
    assert any(remark in said for said in remarks(found, line)), found


@pytest.mark.parametrize("value", ["true", "false"])
def test_automerge_becomes_merge_when_applied(value):
    configuration, found = converted(f"version: 3\nautomerge: {value}\nprojects: [{{dir: a}}]\n", {"a"})
    assert configuration.merge_when_applied == (value == "true")
    assert bool(remarks(found, 2)) == (value == "true")


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
