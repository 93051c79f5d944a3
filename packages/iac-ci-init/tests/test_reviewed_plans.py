"""Which reviewed plans ``/iac-ci apply`` applies, from the comment to the job."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from iac_ci_common import keys
from iac_ci_common.errors import ConfigurationProblems
from iac_ci_common.initial_rows import build_rows
from iac_ci_common.models.changes import Changes, Operation
from iac_ci_common.models.commit_job import JobPart
from iac_ci_common.models.saved_plan import PlannedFile, PlanRecord, ProjectApply, SavedPlan
from iac_ci_common.models.sealed import Sealed
from iac_ci_common.project_states import begun, ended, new_state
from iac_ci_common.states import OrderState, RunState
from iac_ci_init.preparation import _saved_plan
from iac_ci_triggers.configuration import read_configuration
from iac_ci_vcs.commit_jobs import set_job_status
from iac_ci_vcs.provider import ChangedFile, ChangeKind, CommitState, CommitStatus

sys.path.insert(0, str(Path(__file__).parent))
from event_harness import BASE, HEAD, REPOSITORY, WRITER
from test_projects_of_events import CONFIGURATION, FILES, Projects

OTHER = ProjectApply(
    run_id="20251231T000000-aaaaaaaaaaaa", order_num="0003", pull_request=12, began_at="2026-01-01T00:00:00Z"
)
WORKSPACES = b"""
version: 1
projects:
  - folder: live/net
    matrix: {stage: [dev, prod]}
    workspace: "{{ matrix.stage }}"
"""


class Planned(Projects):
    """A repository whose pull request was planned."""

    def __init__(self, configuration=CONFIGURATION, changed="live/net/main.tf"):
        super().__init__()
        self.configure(configuration)
        self.changed(ChangedFile(changed, ChangeKind.MODIFIED))
        self.pull_request()
        for name, project in self.jobs[0].projects.items():
            self.enter(name, project)

    def enter(self, name, project, **fields):
        """Enter the plan of an order, as the orchestrator does at its end."""
        stored = self.jobs[0]
        order = next(order for order in stored.job.orders if order.order_name == name)
        now = self.clock.now()
        workspace = order.plan.workspace
        saved = SavedPlan(
            run_id=stored.run_id,
            order_num="0001",
            order_name=name,
            file=project.file,
            planned=PlannedFile(sha256=project.key[::-1], tool="terraform", tool_version="1.11.4", workspace=workspace),
            files=Sealed(sha256="c" * 64, size=10, identity="YQ=="),
            generation=0,
        )
        whole = {
            "key": project.record,
            "project": project.key,
            "name": project.name,
            "pull_request": 7,
            "repository": stored.job.git_repo,
            "commit": stored.job.commit_hash,
            "base": stored.scope.base,
            "configuration": stored.scope.configuration,
            "saved": saved,
            "planned_at": now,
            "usable_until": now + timedelta(days=13),
            "expires_at": now + timedelta(days=14),
        }
        self.plans.plan_records[project.record] = PlanRecord(**(whole | fields))

    @property
    def record(self):
        (record,) = self.plans.plan_records.values()
        return record

    def edit(self, **fields):
        self.plans.plan_records[self.record.key] = self.record.model_copy(update=fields)

    def edit_plan(self, **fields):
        planned = self.record.saved.planned.model_copy(update=fields)
        self.edit(saved=self.record.saved.model_copy(update={"planned": planned}))

    def applied(self, apply, status="succeeded"):
        """Enter that an apply of the project began and, with a status, that it ended."""
        key = keys.project_state(self.record.project)
        state = begun(new_state(key, self.clock.now()), apply, None, self.clock.now())
        if status is not None:
            state = ended(state, apply.model_copy(update={"status": status}), self.clock.now())
        self.plans.project_states[key] = state

    def own(self):
        """Return the apply of the plan of this pull request."""
        sha256 = self.record.saved.planned.sha256
        return OTHER.model_copy(update={"pull_request": 7, "plan_sha256": sha256})

    @property
    def told(self):
        return re.sub(r"\\([^\w\s])\u200b?", r"\1", self.notice)


def test_the_reviewed_plan_is_applied_and_nothing_else():
    hosted = Planned()
    hosted.comment("/iac-ci apply")
    (order,) = hosted.orders.values()
    assert order.order_name == "apply-live-net"
    assert order.restore == []
    assert order.cmds == [
        "terraform init -input=false -no-color",
        '[ "$(terraform workspace show)" = default ]',
        "terraform apply -input=false -no-color iac-ci.tfplan",
    ]
    project = hosted.jobs[-1].projects["apply-live-net"]
    saved = hosted.record.saved.model_copy(update={"usable_until": hosted.record.usable_until})
    assert (project.applies, project.saved, project.record) == (True, saved, hosted.record.key)
    (row,) = build_rows(hosted.jobs[-1], max_parallel=10).orders
    assert row.plan_sha256 == hosted.record.saved.planned.sha256


def test_the_merge_that_was_planned_is_applied_though_the_base_moved():
    hosted = Planned()
    for commit, other in (("5" * 40, b"1"), (BASE, b"2")):
        hosted.trees.trees[f"{REPOSITORY}.git", commit] = {"live/net/main.tf": b"", "live/dns/main.tf": other}
    hosted.edit(merge_into="5" * 40, merge_commit="6" * 40)
    hosted.comment("/iac-ci apply")
    (order,) = hosted.orders.values()
    assert (order.merge_into, order.merge_commit) == ("5" * 40, "6" * 40)


def test_a_base_that_moved_makes_no_plan_stale():
    hosted = Planned()
    hosted.configure(CONFIGURATION, commit="8" * 40)
    hosted.comment("/iac-ci apply")
    assert list(hosted.orders) == ["apply-live-net"]


def test_after_a_merge_nothing_is_applied_by_a_comment():
    """A squash or a rebase merge closes the pull request: its plan is not applied any more."""
    hosted = Planned()
    hosted.change(is_open=False)
    hosted.comment("/iac-ci apply")
    assert len(hosted.jobs) == 1
    assert "the pull request is closed" in hosted.told


def _push(hosted):
    hosted.change(head_sha="9" * 40)
    hosted.trees.trees[f"{hosted.jobs[0].job.git_repo}", "9" * 40] = hosted.trees.trees[
        hosted.jobs[0].job.git_repo, HEAD
    ]


def _forget(hosted):
    hosted.plans.plan_records.clear()


STALE = {
    "a newer commit": (_push, "it is of commit"),
    "another base branch": (
        lambda hosted: hosted.edit(base="release"),
        "made for the base branch release, and that is main now",
    ),
    "a changed configuration": (lambda hosted: hosted.configure(CONFIGURATION + b"# x\n"), "on main has changed since"),
    "a changed default": (
        lambda hosted: hosted.configure(CONFIGURATION.replace(b"200", b"300")),
        "on main has changed since",
    ),
    "no plan": (_forget, "has no plan in this pull request"),
    "another file": (
        lambda hosted: hosted.edit(saved=hosted.record.saved.model_copy(update={"file": "other"})),
        "it is the file other",
    ),
    "another workspace": (lambda hosted: hosted.edit_plan(workspace="prod"), "for the workspace prod, not default"),
    "an unknown workspace": (lambda hosted: hosted.edit_plan(workspace=None), "of an unknown name, not default"),
    "a provider was changed": (
        lambda hosted: hosted.edit_plan(problem="a provider was changed"),
        "cannot be applied: a provider was changed",
    ),
    "it expired": (lambda hosted: hosted.edit(usable_until=hosted.clock.now()), "expired at"),
    "another pull request applied": (lambda hosted: hosted.applied(OTHER), "was applied by pull request 12"),
    "another pull request applies": (lambda hosted: hosted.applied(OTHER, None), "is being applied by pull request 12"),
    "its own apply failed": (lambda hosted: hosted.applied(hosted.own(), "failed"), "was applied by pull request 7"),
    "its own apply timed out": (
        lambda hosted: hosted.applied(hosted.own(), "timed_out"),
        "aaaaaaaaaaaa, timed out) since",
    ),
    "its own apply runs": (
        lambda hosted: hosted.applied(hosted.own(), None),
        "the plan of live/net is being applied by run",
    ),
    "a signed job applied": (
        lambda hosted: hosted.applied(OTHER.model_copy(update={"pull_request": None})),
        f"was applied by run {OTHER.run_id}",
    ),
    "its own row is older than the project's": (
        lambda hosted: hosted.edit(saved=hosted.record.saved.model_copy(update={"generation": 3})),
        "what is known of the project is newer",
    ),
}


@pytest.mark.parametrize("case", STALE)
def test_a_stale_plan_is_refused_in_its_own_words(case):
    make, words = STALE[case]
    hosted = Planned()
    make(hosted)
    hosted.comment("/iac-ci apply")
    assert len(hosted.jobs) == 1
    assert "Nothing of the job apply is applied" in hosted.told
    assert words in hosted.told
    assert "/iac-ci plan" in hosted.told


@pytest.mark.parametrize(
    ("planned", "fields", "starts"),
    [
        (timedelta(minutes=-5), {}, True),
        (timedelta(0), {}, True),
        (timedelta(milliseconds=900), {}, True),
        (timedelta(seconds=1), {}, False),
        (timedelta(minutes=5), {}, False),
        (timedelta(minutes=5), {"destroys": True}, False),
    ],
)
def test_a_plan_that_was_made_after_the_comment_is_not_what_its_author_has_read(planned, fields, starts):
    hosted = Planned()
    hosted.edit(planned_at=hosted.clock.now() + planned)
    hosted.edit_plan(**fields)
    hosted.host.now = hosted.clock.now()
    written = hosted.host.write(7, WRITER, "/iac-ci apply live/net")
    hosted.clock.advance(600)
    hosted.tell(written)
    assert len(hosted.jobs) == (2 if starts else 1)
    assert starts or "live/net was made after the comment was written; read it" in hosted.told
    hosted.comment("/iac-ci apply live/net")
    assert len(hosted.jobs) == 2


def test_the_ways_to_make_a_plan_stale_are_told_apart():
    words = [words for _, words in STALE.values()]
    assert len(set(words)) >= len(words) - 1


def test_a_plan_is_applied_once():
    hosted = Planned()
    hosted.applied(hosted.own())
    hosted.comment("/iac-ci apply")
    assert len(hosted.jobs) == 1
    assert f"live/net was applied by run {OTHER.run_id}" in hosted.told


def test_what_comes_after_a_refused_project_is_refused_too_and_the_rest_is_applied():
    hosted = Planned(changed="modules/vpc/main.tf")
    record = next(one for one in hosted.plans.plan_records.values() if one.name == "live/net")
    hosted.plans.plan_records[record.key] = record.model_copy(update={"commit": "1" * 40})
    hosted.comment("/iac-ci apply")
    assert len(hosted.jobs) == 1
    assert "apply-live-app comes after apply-live-net, which is not applied" in hosted.told
    hosted.comment("/iac-ci apply live/app")
    assert list(hosted.orders) == ["apply-live-app"]
    assert hosted.orders["apply-live-app"].dependencies == []
    assert not hosted.jobs[-1].scope.whole


def test_two_workspaces_of_one_folder_have_plans_of_their_own():
    hosted = Planned(WORKSPACES)
    assert sorted(record.name for record in hosted.plans.plan_records.values()) == ["live/net (dev)", "live/net (prod)"]
    assert len({record.project for record in hosted.plans.plan_records.values()}) == 2
    hosted.comment("/iac-ci apply live-net-prod")
    (order,) = hosted.orders.values()
    project = hosted.jobs[-1].projects[order.order_name]
    assert project.name == "live/net (prod)"
    assert project.saved.planned.workspace == "prod"
    assert '[ "$(terraform workspace show)" = prod ]' in order.cmds


def test_a_failed_apply_is_not_run_again_with_its_plan():
    hosted = Planned()
    hosted.comment("/iac-ci apply")
    queued = build_rows(hosted.jobs[-1], max_parallel=10)
    failed = {"status": RunState.FAILED, "finished_at": hosted.clock.now()}
    orders = [row.model_copy(update={"status": OrderState.FAILED}) for row in queued.orders]
    hosted.runs.insert(queued.run.model_copy(update=failed), orders, queued.events)
    hosted.applied(hosted.own(), "failed")
    before = len(hosted.jobs)
    hosted.comment("/iac-ci rerun-failed")
    assert "a reviewed plan is applied once" in hosted.told
    assert [stored.job.flow_label for stored in hosted.jobs[before:]] in ([], ["plan"])


def test_a_fork_of_the_pull_request_has_no_plan_of_it():
    hosted = Planned()
    hosted.host.pulls[8] = replace(hosted.host.pulls[7], number=8)
    hosted.host.changes[8] = hosted.host.changes[7]
    assert hosted.record.key != keys.plan_record("github.com/acme/infra", 8, hosted.record.project)


@pytest.mark.parametrize("tool", ["terragrunt"])
def test_terragrunt_applies_a_plan_of_its_own(tool):
    hosted = Projects()
    hosted.configure(CONFIGURATION.replace(b"    role:", f"    tool: {tool}\n    role:".encode()))
    hosted.code(FILES | {"live/net/terragrunt.hcl": ""})
    hosted.comment("/iac-ci apply live/net")
    assert list(hosted.orders) == ["plan-live-net", "apply-live-net"]


def _rows(hosted, status=OrderState.RUNNING):
    """Insert the rows of the newest run, as its preparation does."""
    queued = build_rows(hosted.jobs[-1], max_parallel=10)
    orders = [row.model_copy(update={"status": status}) for row in queued.orders]
    run = queued.run
    if status is not OrderState.RUNNING:
        run = run.model_copy(update={"status": RunState(status.value), "finished_at": hosted.clock.now()})
    hosted.runs.insert(run, orders, queued.events)


def _applied_statuses(hosted):
    return [status for status in hosted.host.statuses if status.context == "iac-ci/apply"]


@pytest.mark.parametrize("prepared", [False, True])
def test_of_two_comments_at_once_the_first_one_applies_and_the_second_one_changes_nothing(prepared):
    hosted = Planned()
    hosted.comment("/iac-ci apply")
    if prepared:
        _rows(hosted, OrderState.RUNNING)
    first, statuses = hosted.jobs[-1].run_id, _applied_statuses(hosted)
    hosted.comment("/iac-ci apply")
    assert hosted.jobs[-1].run_id == first
    assert f"the plan of live/net is being applied by run {first}; wait for its end" in hosted.told
    assert _applied_statuses(hosted) == statuses


def test_of_two_comments_at_once_the_second_one_may_come_before_the_job_of_the_first_one_is_stored():
    hosted = Planned()
    hosted.comment("/iac-ci apply")
    first = hosted.jobs[-1]
    hosted.objects.delete([keys.job(first.run_id)])
    before = len(hosted.invoker.started)
    hosted.comment("/iac-ci apply")
    assert len(hosted.invoker.started) == before
    assert f"is being applied by run {first.run_id}; wait" in hosted.told


def test_a_comment_with_the_same_apply_twice_applies_once():
    hosted = Planned()
    before = len(hosted.jobs)
    hosted.comment("/iac-ci apply live/net\n\n/iac-ci apply")
    assert len(hosted.jobs) == before + 1
    assert "is being applied by another command of this comment" in hosted.told


@pytest.mark.parametrize("status", [OrderState.CANCELLED, OrderState.FAILED, OrderState.TIMED_OUT])
def test_a_plan_whose_apply_ended_before_it_began_is_applied_by_the_next_command(status):
    hosted = Planned()
    hosted.comment("/iac-ci apply")
    _rows(hosted, status)
    first = hosted.jobs[-1].run_id
    hosted.comment("/iac-ci apply")
    assert hosted.jobs[-1].run_id != first
    assert list(hosted.orders) == ["apply-live-net"]


def test_a_plan_is_applied_again_when_its_apply_was_cancelled_before_it_was_prepared():
    hosted = Planned()
    hosted.comment("/iac-ci apply")
    first = hosted.jobs[-1].run_id
    hosted.comment("/iac-ci cancel")
    hosted.comment("/iac-ci apply")
    assert hosted.jobs[-1].run_id != first


@pytest.mark.parametrize("status", [None, "succeeded", "failed"])
def test_an_event_that_is_processed_again_says_nothing_of_what_it_started_itself(status):
    hosted = Planned()
    hosted.comment("/iac-ci apply")
    first, said = hosted.jobs[-1], list(hosted.host.written)
    hosted.applied(hosted.own().model_copy(update={"run_id": first.run_id}), status)
    hosted.processor.process(hosted.invoker.triggered[-1])
    assert hosted.jobs[-1] == first
    assert hosted.host.written == said


BY_HAND = b"""
version: 1
jobs:
  preview:
    on: {pull_request: {}, command: preview}
    orders:
      - {name: plan-net, folder: live/net, cmds: [./plan], save: [net.tfplan], plan: {file: net.tfplan}}
      - {name: plan-app, folder: live/app, cmds: [./plan], save: [app.tfplan], plan: {file: app.tfplan}}
  roll-out:
    on: {command: ship}
    orders:
      - {name: freeze, cmds: [./freeze]}
      - {name: stop, cmds: [./stop], depends_on: [freeze]}
      - {name: apply-net, folder: live/net, cmds: [./apply], apply_plan: plan-net, depends_on: [stop]}
      - {name: start, cmds: [./start], depends_on: [apply-net]}
      - {name: apply-app, folder: live/app, cmds: [./apply], apply_plan: plan-app, depends_on: [freeze]}
"""


def _by_name(hosted, name):
    return next(record for record in hosted.plans.plan_records.values() if record.name == name)


def test_an_order_that_prepares_a_refused_apply_does_not_run_alone():
    hosted = Planned(BY_HAND)
    record = _by_name(hosted, "live/net")
    hosted.plans.plan_records[record.key] = record.model_copy(update={"commit": "1" * 40})
    hosted.comment("/iac-ci ship")
    assert sorted(hosted.orders) == ["apply-app", "freeze"]
    assert "stop comes before apply-net, which is not applied" in hosted.told
    assert "start comes after apply-net, which is not applied" in hosted.told


def test_nothing_is_prepared_if_every_apply_is_refused():
    hosted = Planned(BY_HAND)
    before = len(hosted.jobs)
    hosted.plans.plan_records.clear()
    hosted.comment("/iac-ci ship")
    assert len(hosted.jobs) == before
    assert "freeze comes before" in hosted.told


def test_an_apply_runs_though_what_comes_after_it_is_refused():
    hosted = Planned(changed="modules/vpc/main.tf")
    record = _by_name(hosted, "live/app")
    hosted.plans.plan_records[record.key] = record.model_copy(update={"commit": "1" * 40})
    hosted.comment("/iac-ci apply")
    assert list(hosted.orders) == ["apply-live-net"]


@pytest.mark.parametrize(
    ("trigger", "way"), [(b"command: preview", "/iac-ci preview"), (b"command: [look, plan]", "/iac-ci look")]
)
def test_the_way_on_is_the_command_of_the_job_that_plans(trigger, way):
    hosted = Planned(BY_HAND.replace(b"command: preview", trigger))
    for record in list(hosted.plans.plan_records.values()):
        hosted.plans.plan_records[record.key] = record.model_copy(update={"commit": "1" * 40})
    hosted.comment("/iac-ci ship")
    assert f"plan it again with {way}" in hosted.told
    before = len(hosted.jobs)
    hosted.comment(way)
    assert len(hosted.jobs) == before + 1


def test_the_way_on_goes_with_the_orders_to_those_that_may_still_refuse_the_plan():
    hosted = Planned(BY_HAND)
    assert {project.planner for project in hosted.jobs[0].projects.values()} == {"/iac-ci preview"}
    hosted.comment("/iac-ci ship")
    assert {project.planner for project in hosted.jobs[-1].projects.values()} == {"/iac-ci preview"}
    manifest = _saved_plan(hosted.jobs[-1], list(hosted.orders).index("apply-net"))
    assert manifest.planner == "/iac-ci preview"


def test_the_way_on_names_a_project_that_no_pull_request_plans_by_itself():
    hosted = Planned()
    hosted.configure(CONFIGURATION.replace(b"    role:", b"    autoplan: false\n    role:"))
    hosted.comment("/iac-ci apply live/net")
    assert "plan it again with /iac-ci plan live-net" in hosted.told
    hosted.comment("/iac-ci plan live-net")
    assert list(hosted.orders) == ["plan-live-net"]


def test_without_a_command_that_plans_a_commit_is_the_way_on():
    hosted = Planned(BY_HAND.replace(b", command: preview", b""))
    hosted.plans.plan_records.clear()
    hosted.comment("/iac-ci ship")
    assert "or plan it with a new commit" in hosted.told


def test_what_no_run_began_to_apply_is_run_again_by_the_command_that_applies():
    hosted = Planned(BY_HAND)
    hosted.comment("/iac-ci ship")
    _rows(hosted, OrderState.CANCELLED)
    hosted.comment("/iac-ci rerun-failed")
    assert "/iac-ci ship applies what no run has begun to apply" in hosted.told
    before = len(hosted.jobs)
    hosted.comment("/iac-ci ship")
    assert len(hosted.jobs) == before + 1


BACKENDS = WORKSPACES.replace(
    b'workspace: "{{ matrix.stage }}"',
    b'backend_config: ["{{ matrix.stage }}.hcl"]\n    var_files: ["{{ matrix.stage }}.tfvars"]',
)


def test_two_backends_of_one_folder_are_two_states():
    """The apply of one made the plan of the other stale, so that no comment could apply both."""
    hosted = Planned(BACKENDS)
    names = ["live/net (live-net-dev)", "live/net (live-net-prod)"]
    assert sorted(record.name for record in hosted.plans.plan_records.values()) == names
    assert len({record.project for record in hosted.plans.plan_records.values()}) == 2
    hosted.comment("/iac-ci apply")
    assert sorted(hosted.orders) == ["apply-live-net-dev", "apply-live-net-prod"]


def test_two_sets_of_variables_of_one_backend_are_one_state():
    hosted = Planned(BACKENDS.replace(b'["{{ matrix.stage }}.hcl"]', b'["all.hcl"]'))
    assert len({record.project for record in hosted.plans.plan_records.values()}) == 1
    assert len(hosted.plans.plan_records) == 2


def test_a_plan_without_changes_is_not_applied():
    hosted = Planned()
    hosted.edit(changes=Changes(operation=Operation.PLANNED))
    before = len(hosted.jobs)
    hosted.comment("/iac-ci apply")
    assert len(hosted.jobs) == before
    assert "Nothing is left to apply:" in hosted.told
    assert "the plan of live/net has no changes" in hosted.told


@pytest.mark.parametrize("field", ["outputs", "moved", "drift", "deferred", "forget"])
def test_a_plan_that_changes_the_state_only_is_applied(field):
    hosted = Planned()
    hosted.edit(changes=Changes(operation=Operation.PLANNED, **{field: 1}))
    hosted.comment("/iac-ci apply")
    assert list(hosted.orders) == ["apply-live-net"]


def test_what_comes_after_a_plan_without_changes_is_applied():
    hosted = Planned(changed="modules/vpc/main.tf")
    record = _by_name(hosted, "live/net")
    nothing = {"changes": Changes(operation=Operation.PLANNED)}
    hosted.plans.plan_records[record.key] = record.model_copy(update=nothing)
    hosted.comment("/iac-ci apply")
    assert list(hosted.orders) == ["apply-live-app"]
    assert hosted.orders["apply-live-app"].dependencies == []


def test_a_plan_without_changes_that_is_stale_is_planned_again():
    hosted = Planned()
    hosted.edit(changes=Changes(operation=Operation.PLANNED), commit="1" * 40)
    hosted.comment("/iac-ci apply")
    assert "is stale: it is of commit" in hosted.told


def _newest_status(hosted):
    return _applied_statuses(hosted)[-1]


@pytest.mark.parametrize("nothing", [False, True])
def test_a_failure_does_not_stay_in_the_status_when_nothing_is_left_to_apply(nothing):
    hosted = Planned()
    failed = JobPart(7, "main", hosted.jobs[0].run_id, {"apply-live-net": "failed"})
    own = CommitStatus(HEAD, "iac-ci/apply", CommitState.FAILURE, "")
    marked = []
    set_job_status(
        hosted.commit_jobs,
        hosted.jobs[0].job.git_repo,
        own,
        failed,
        now=hosted.clock.now(),
        is_open=lambda _: True,
        mark=marked.append,
    )
    assert marked[-1].state is CommitState.FAILURE
    if nothing:
        hosted.edit(changes=Changes(operation=Operation.PLANNED))
    else:
        hosted.applied(hosted.own())
    hosted.clock.advance(5)
    hosted.comment("/iac-ci apply")
    assert _newest_status(hosted).state is CommitState.SUCCESS


def test_a_plan_that_two_jobs_make_is_not_to_be_applied():
    """The bytes would be those of the job that ran last, whatever its commands are."""
    other = b"  roll-out:\n"
    second = BY_HAND.split(b"  preview:\n")[1].split(other)[0]
    text = BY_HAND.replace(other, b"  look:\n" + second.replace(b"command: preview", b"command: look") + other)
    with pytest.raises(ConfigurationProblems) as raised:
        read_configuration(text)
    assert {problem.what for problem in raised.value.problems} == {
        f"plan-{name} is an order with `plan` of several jobs; rename it in all but one" for name in ("net", "app")
    }


CHAINED = """
version: 1
jobs:
  plan:
    on: {pull_request: }
    orders:
      - {name: p, folder: live/net, cmds: [x], save: [f], plan: {file: f}}
      - {name: q, folder: live/dns, cmds: [x], save: [f], plan: {file: f}}
  apply:
    on: {command: apply}
    orders:
      - {name: policy, folder: live/net, cmds: [./policy]}
      - {name: a, folder: live/net, cmds: [{run: y, ok: [0, 2]}], save: [f], apply_plan: p}
      - BETWEEN
      - {name: b, folder: live/dns, depends_on: [n], cmds: [y], apply_plan: q}
"""
BETWEEN = {
    "an approval that has nothing to override": (
        "{name: n, approval: {by: [bob], overrides: [a]}, depends_on: [a, policy]}",
        {"policy": [], "b": ["policy"]},
        "n has nothing to override",
    ),
    "an approval that still overrides another": (
        "{name: n, approval: {by: [bob], overrides: [a, policy]}, depends_on: [a, policy]}",
        {"policy": [], "n": ["policy"], "b": ["n"]},
        "the plan of live/net has no changes",
    ),
    "a condition": (
        "{name: n, cmds: [z], when: {a: changed}, depends_on: [a]}",
        {"policy": []},
        "n runs if something is changed by a, which does not run",
    ),
    "files": (
        "{name: n, cmds: [z], restore: [{order: a}], depends_on: [a]}",
        {"policy": []},
        "n takes something of a, which does not run",
    ),
}


@pytest.mark.parametrize("case", BETWEEN)
def test_what_needs_an_order_with_nothing_to_do_makes_no_run_that_cannot_be_prepared(case):
    text, expected, words = BETWEEN[case]
    hosted = Planned(CHAINED.replace("BETWEEN", text).encode())
    net = next(one for one in hosted.plans.plan_records.values() if one.name == "live/net")
    nothing = Changes(operation=Operation.PLANNED, add=0, change=0, destroy=0)
    hosted.plans.plan_records[net.key] = net.model_copy(update={"changes": nothing})
    hosted.comment("/iac-ci apply")
    rows = build_rows(hosted.jobs[-1], max_parallel=10).orders
    names = {row.order_num: row.order_name for row in rows}
    assert {row.order_name: [names[num] for num in row.dependencies] for row in rows} == expected
    assert [names[num] for row in rows if row.approval for num in row.approval.overrides] == ["policy"] * (
        "n" in expected
    )
    assert words in hosted.told
