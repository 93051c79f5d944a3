"""A plan to destroy is asked for by a comment, for one project, and applied by a comment that names it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from iac_ci_common.initial_rows import build_rows
from iac_ci_common.models.saved_plan import Replan
from iac_ci_common.states import OrderState, RunState

sys.path.insert(0, str(Path(__file__).parent))
from test_projects_of_events import CONFIGURATION
from test_reviewed_plans import OTHER, WORKSPACES, Planned

DESTROY = "/iac-ci plan live/net -destroy"
VARIABLE = "TF_CLI_ARGS_plan"


def _with(line):
    """Return the configuration with a line more of its project."""
    return CONFIGURATION.replace(b"    role:", b"    " + line + b"\n    role:")


def planned_to_destroy(configuration=CONFIGURATION):
    """Return a repository whose newest plan of live/net is one to destroy."""
    hosted = Planned(configuration)
    hosted.comment(DESTROY)
    name, project = next(iter(hosted.jobs[-1].projects.items()))
    hosted.plans.plan_records.clear()
    hosted.enter(name, project, planner=project.planner, replans=project.replans)
    hosted.edit_plan(destroys=True)
    return hosted


def test_the_named_project_is_planned_with_the_tools_own_argument():
    hosted = Planned(_with(b"replan_when_stale: true"))
    assert hosted.jobs[0].projects["plan-live-net"].replans
    hosted.comment(DESTROY)
    (order,) = hosted.orders.values()
    assert (order.order_name, order.env_vars[VARIABLE]) == ("plan-live-net", "-destroy")
    assert order.cmds == hosted.jobs[0].job.orders[0].cmds
    project = hosted.jobs[-1].projects["plan-live-net"]
    assert (project.planner, project.replans) == (DESTROY.replace("live/net", "live-net"), False)
    assert project.record == hosted.jobs[0].projects["plan-live-net"].record
    scope = hosted.jobs[-1].scope
    assert (scope.target, scope.whole) == ("live/net", False)
    assert scope.because.startswith("a plan to destroy, asked for by ")


def test_the_arguments_of_the_configuration_stay():
    hosted = Planned(_with(b"env_vars: {TF_CLI_ARGS_plan: -parallelism=3}"))
    hosted.comment(DESTROY)
    (order,) = hosted.orders.values()
    assert order.env_vars[VARIABLE] == "-parallelism=3 -destroy"


HAND_MADE = b"""
version: 1
jobs:
  plan: {on: {pull_request: , command: [plan]}, orders: [{name: net, cmds: [./plan]}]}
"""
TWO_STAGES = "names live-net-dev, live-net-prod"
REFUSED = {
    "no target": (CONFIGURATION, "/iac-ci plan -destroy", "names no project"),
    "an unknown target": (CONFIGURATION, "/iac-ci plan live/nett -destroy", "unknown order or matrix value"),
    "a command that applies": (CONFIGURATION, "/iac-ci apply live/net -destroy", "for a command that only plans"),
    "several projects": (WORKSPACES, DESTROY, f"is for one project at a time, and the target {TWO_STAGES}"),
    "a fresh plan": (
        _with(b"apply: {plan: fresh}"),
        DESTROY,
        "no job applies the reviewed plan of live/net",
    ),
    "Terragrunt": (_with(b"tool: terragrunt"), DESTROY, "whose plan the engine reads"),
    "an order without a plan": (HAND_MADE, "/iac-ci plan net -destroy", "whose plan the engine reads"),
    "arguments that are a secret": (
        _with(b"secrets: {TF_CLI_ARGS_plan: 'ssm:/iac-ci/jobs/x'}"),
        DESTROY,
        "is a secret, which -destroy cannot be added to",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_destroyed_is_refused_in_its_own_words(case):
    configuration, text, words = REFUSED[case]
    hosted = Planned(configuration)
    hosted.comment(text)
    assert len(hosted.jobs) == 1
    assert words in hosted.told


def test_the_reviewed_plan_is_applied_by_a_comment_that_names_the_project():
    hosted = planned_to_destroy()
    hosted.comment("/iac-ci apply live/net")
    (order,) = hosted.orders.values()
    assert (order.order_name, order.env_vars.get(VARIABLE)) == ("apply-live-net", None)
    project = hosted.jobs[-1].projects["apply-live-net"]
    assert project.saved.planned == hosted.record.saved.planned
    assert project.planner == "/iac-ci plan live-net -destroy"


def test_a_comment_that_names_nothing_destroys_nothing():
    hosted = planned_to_destroy()
    hosted.comment("/iac-ci apply")
    assert len(hosted.jobs) == 2
    assert "the plan of live/net destroys all that it has; apply it with /iac-ci apply live-net" in hosted.told


def test_a_stale_plan_to_destroy_names_the_comment_that_makes_it_again():
    hosted = planned_to_destroy()
    hosted.applied(OTHER)
    hosted.comment("/iac-ci apply live/net")
    assert len(hosted.jobs) == 2
    assert "plan it again with /iac-ci plan live-net -destroy" in hosted.told


def test_a_stale_plan_to_destroy_is_not_made_again_by_itself():
    hosted = planned_to_destroy(_with(b"replan_when_stale: true"))
    assert not hosted.record.replans
    hosted.applied(OTHER)
    replan = Replan(
        trigger_id="20260101T000000-cccccccccccc", at=hosted.clock.now(), repository=hosted.jobs[0].job.git_repo,
        number=7, plan=hosted.record.key, project=hosted.record.project, applied_by=OTHER.run_id,
        applied_by_order=OTHER.order_num,
    )  # fmt: skip
    hosted.processor.plan_again(replan)
    assert len(hosted.jobs) == 2


def test_a_plan_to_destroy_that_failed_is_run_again_as_one():
    hosted = Planned(_with(b"replan_when_stale: true"))
    hosted.comment(DESTROY)
    for stored in hosted.jobs:
        queued = build_rows(stored, max_parallel=10)
        failed = {"status": RunState.FAILED, "finished_at": hosted.clock.now()}
        orders = [row.model_copy(update={"status": OrderState.FAILED}) for row in queued.orders]
        hosted.runs.insert(queued.run.model_copy(update=failed), orders, queued.events)
    hosted.comment("/iac-ci rerun-failed")
    again = hosted.jobs[-1]
    assert len(hosted.jobs) == 3
    assert again.job.orders[0].env_vars[VARIABLE] == "-destroy"
    project = again.projects["plan-live-net"]
    assert (project.planner, project.replans) == ("/iac-ci plan live-net -destroy", False)
