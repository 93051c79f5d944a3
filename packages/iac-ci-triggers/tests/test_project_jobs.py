"""Jobs of projects whose folders, names and patterns are odd or hostile."""

from __future__ import annotations

import hashlib

import pytest

from iac_ci_common.errors import ConfigurationProblems
from iac_ci_common.globs import matches
from iac_ci_common.tree import Entry, EntryKind, Tree
from iac_ci_triggers.configuration import (
    applied_states,
    jobs_for_pull_request,
    planned_states,
    read_configuration,
    unnamed_states,
    with_project_jobs,
)

FOUND = 'version: 1\nprojects:\n  - find: "**/main.tf"\n'


def jobs_of(text, *folders):
    paths = [f"{folder}/main.tf" for folder in folders]
    tree = Tree(dict.fromkeys(paths, Entry()), dict.fromkeys(paths, b""))
    return with_project_jobs(read_configuration(text.encode()), tree)


def test_no_project_is_lost_to_one_that_has_its_name():
    digest = hashlib.sha256("\0".join(["live/prod", "None", "()"]).encode()).hexdigest()[:12]
    folders = {"live/prod", "live-prod", f"live-prod-{digest}", f"LIVE-prod-{digest}"}
    orders = jobs_of(FOUND, *folders).configuration.jobs["plan"].orders
    assert {order.folder for order in orders} == folders
    assert len({order.name.lower() for order in orders}) == len(folders)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [("[z-a]", "empty range"), ("live[", "without a ]"), ("/live/net", "begins with a slash"), ("!live", "excludes")],
)
def test_a_pattern_of_depends_on_that_cannot_be_is_a_problem_with_its_line(pattern, problem):
    with pytest.raises(ConfigurationProblems) as raised:
        read_configuration(f"{FOUND}    depends_on: [live/net, '{pattern}']\n".encode())
    (found,) = raised.value.problems
    assert found.where == "line 4: projects[0].depends_on[1]"
    assert problem in found.what


def test_a_pattern_that_only_its_matrix_spoils_is_a_problem_too():
    text = f"{FOUND}    matrix: {{stage: [a]}}\n    workspace: x\n    depends_on: ['[z-{{{{ matrix.stage }}}}]']\n"
    with pytest.raises(ConfigurationProblems) as raised:
        jobs_of(text, "live/net")
    assert "empty range" in raised.value.problems[0].what


@pytest.mark.parametrize(
    ("entry", "shown"),
    [('find: "live/**/Main.tf"', "live/**/Main.tf"), ("folder: live/nett", "live/nett"), ('find: ["a", "b"]', "a, b")],
)
def test_an_entry_that_finds_nothing_is_said(entry, shown):
    found = jobs_of(f"{FOUND}  - {entry}\n", "live/net")
    assert found.remarks == (f"projects[1] finds no folder: {shown}",)


@pytest.mark.parametrize(
    ("entry", "is_hidden"),
    [
        ("{folder: live/net, apply: {require: {approved: 2}}}", True),
        ("{find: 'live/net/*.tf'}", True),
        ("{folder: live/net, workspace: prod}", False),
        ("{find: '*/*/*.tf'}", True),
    ],
)
def test_an_entry_behind_one_that_finds_all_of_its_folders_is_said(entry, is_hidden):
    found = jobs_of(f"{FOUND}  - {entry}\n", "live/net", "other/net")
    assert any(remark.startswith("projects[1] counts nowhere") for remark in found.remarks) is is_hidden


def test_a_status_says_that_no_project_was_found():
    configuration = jobs_of('version: 1\nprojects:\n  - find: "**/Main.tf"\n', "live/net").configuration
    (untouched,) = jobs_for_pull_request(configuration, "main", ["live/net/main.tf"]).untouched
    assert untouched.reason == "the configuration finds no project in this commit"


def test_projects_whose_plans_are_not_read_have_groups_of_their_own():
    text = 'version: 1\nprojects:\n  - {find: "**/main.tf", tool: terragrunt}\n'
    jobs = jobs_of(text, "live/a", "live/b").configuration.jobs
    groups = {order.name: (order.concurrency.group, order.concurrency.shared) for order in jobs["apply"].orders}
    (plan_a, shared_a), (apply_a, alone_a) = groups["plan-live-a"], groups["apply-live-a"]
    assert (plan_a, shared_a, alone_a) == (apply_a, True, False)
    assert groups["plan-live-b"][0] != plan_a
    assert all(order.concurrency.shared for order in jobs["plan"].orders)
    # Others have the group of their project, whose plans are known.
    read = jobs_of(FOUND, "live/a").configuration.jobs
    assert [order.concurrency for job in read.values() for order in job.orders] == [None, None]


@pytest.mark.parametrize("tool", ["terraform", "opentofu", "terragrunt"])
def test_plans_take_no_lock_of_the_state_and_applies_do(tool):
    jobs = jobs_of(f'version: 1\nprojects:\n  - {{find: "**/main.tf", tool: {tool}}}\n', "live/a").configuration.jobs
    locks = {order.name: "-lock=false" in order.cmds[-1] for job in jobs.values() for order in job.orders}
    assert locks == {"plan-live-a": True, "apply-live-a": False}


ONE_STATE = """version: 1
projects:
  - {find: "**/main.tf", workflow: own, matrix: {stage: [dev, prod]}, var_files: ["{{ matrix.stage }}.tfvars"]}
workflows:
  own: {SAVES plan: [./plan], apply: [./apply]}
drift: {cron: "0 6 * * *"}
"""


def test_projects_of_one_folder_share_a_group_whatever_variables_and_jobs_they_have():
    configuration = jobs_of(ONE_STATE.replace("SAVES ", ""), "live/a", "live/b").configuration
    states = [
        *planned_states(configuration, "plan").values(),
        *planned_states(configuration, "drift").values(),
        *(state for state, _ in applied_states(configuration, "apply").values()),
    ]
    keys = {(state.folder, state.project("github.com/acme/infra", 7).key) for state in states}
    assert len(states) == 12
    assert len(keys) == 2
    planned = planned_states(configuration, "plan").values()
    assert len({state.project("github.com/acme/infra", 7).record for state in planned}) == 4


def by_hand(*plans):
    orders = [
        f"{{name: p{n}, folder: {folder}, cmds: [x], save: [f], plan: {plan}}}"
        for n, (folder, plan) in enumerate(plans)
    ]
    return f"version: 1\njobs:\n  look: {{on: {{command: look}}, orders: [{', '.join(orders)}]}}\n"


UNNAMED, NAMED, OTHER = "{file: f}", "{file: f, workspace: default}", "{file: f, workspace: prod}"


@pytest.mark.parametrize(
    ("plans", "found"),
    [
        ([("live/a", UNNAMED)], ()),
        ([("live/a", UNNAMED), ("live/b", UNNAMED)], ()),
        ([("live/a", NAMED), ("live/a", OTHER)], ()),
        ([("live/a", NAMED), ("live/a", NAMED)], ()),
        ([("live/a", UNNAMED), ("./live/a/", UNNAMED)], (("live/a", ("p0", "p1")),)),
        ([("live/a", UNNAMED), ("live/a", OTHER)], (("live/a", ("p0", "p1")),)),
        ([("live/a", UNNAMED), ("live/a", "{file: f, backend_config: [prod.hcl]}")], ()),
    ],
)
def test_orders_of_one_folder_without_a_workspace_are_known(plans, found):
    configuration = read_configuration(by_hand(*plans).encode())
    assert unnamed_states(configuration) == found
    # What is not found has one state for each workspace that the file names, or for each folder.
    keys = {state.project("github.com/acme/infra", 7).key for state in planned_states(configuration, "look").values()}
    if found:
        assert len(keys) == len(plans)


def test_an_order_beside_a_project_of_its_folder_names_the_workspace_too():
    text = by_hand(("live/a", "PLAN")) + 'projects: [{find: "**/main.tf"}]\n'
    assert unnamed_states(jobs_of(text.replace("PLAN", UNNAMED), "live/a").configuration) == (
        ("live/a", ("p0", "plan-live-a")),
    )
    assert unnamed_states(jobs_of(text.replace("PLAN", NAMED), "live/a").configuration) == ()


def test_projects_of_one_folder_whose_plans_are_not_read_share_a_group_too():
    text = ONE_STATE.replace("SAVES ", "saves_plan: false, ")
    jobs = jobs_of(text, "live/a", "live/b").configuration.jobs
    assert len({order.concurrency.group for order in jobs["apply"].orders}) == 2


@pytest.mark.parametrize("linked", ["live/env", "live/env/dev.tfvars", "live/env/prod.tfvars"])
def test_a_linked_file_of_variables_concerns_its_own_combination_alone(linked):
    targets = {
        "live/env": "../env",
        "live/env/dev.tfvars": "../../env/dev.tfvars",
        "live/env/prod.tfvars": "../../env/prod.tfvars",
    }
    files = dict.fromkeys(("live/main.tf", "env/dev.tfvars", "env/prod.tfvars"), Entry())
    tree = Tree(files | {linked: Entry(EntryKind.LINK)}, {"live/main.tf": b"", linked: targets[linked].encode()})
    text = (
        "version: 1\nprojects:\n  - folder: live\n    matrix: {stage: [dev, prod]}\n"
        '    workspace: "{{ matrix.stage }}"\n    var_files: ["env/{{ matrix.stage }}.tfvars"]\n'
    )
    orders = with_project_jobs(read_configuration(text.encode()), tree).configuration.jobs["plan"].orders
    for stage in ("dev", "prod") if linked == "live/env" else (linked[9:].removesuffix(".tfvars"),):
        concerned = [order.project for order in orders if matches(order.paths, f"env/{stage}.tfvars")]
        assert concerned == [f"live-{stage}"]
    assert all(matches(order.paths, "live/env") for order in orders)
