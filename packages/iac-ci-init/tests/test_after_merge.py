"""What a merge starts, from the host's event to jobs and comments: hostile and unlucky cases, on in-memory ports."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from iac_ci_common import keys
from iac_ci_common.errors import ConfigurationProblems, PortFailed
from iac_ci_common.initial_rows import build_rows
from iac_ci_common.models.changes import Changes, Operation
from iac_ci_common.ports import Transition
from iac_ci_triggers.configuration import read_configuration
from iac_ci_vcs.provider import Account, ChangedFile, ChangeKind, Permission
from iac_ci_vcs.reviews import Approval, Approvals

sys.path.insert(0, str(Path(__file__).parent))
from event_harness import BASE, HEAD, REPOSITORY, STRANGER, WRITER
from test_projects_of_events import CONFIGURATION, FILES, Projects
from test_reviewed_plans import OTHER, Planned

LANDED, LATER = "d" * 40, "e" * 40
ON_MERGE = CONFIGURATION.replace(b"    role:", b"    apply: {on: merge}\n    role:")
APPROVED = ON_MERGE.replace(b"{on: merge}", b"{on: merge, require: {approved: 1}}")
PUSHED = (
    CONFIGURATION.partition(b"jobs:")[0]
    + b"jobs:\n  deploy: {on: {push: {branches: [main]}}, orders: [{name: all, cmds: [./deploy]}]}\n"
)

ASKED = b"""
version: 1
jobs:
  plan:
    on: {pull_request: , command: plan}
    orders: [{name: p, folder: live/net, paths: ["live/net/**"], cmds: [x], save: [f], plan: {file: f}}]
  apply:
    on: {command: apply}
    orders:
      - {name: policy, folder: live/net, cmds: [./policy]}
      - {name: ask, approval: {by: [bob], overrides: [policy]}, depends_on: [policy]}
      - {name: a, folder: live/net, cmds: [y], depends_on: [ask], apply_plan: p, after_merge: true}
"""
BOB = Account("7", "bob")


class Landed(Planned):
    """A repository whose pull request was planned, and is merged when a test says so."""

    def __init__(self, configuration=ON_MERGE, changed="live/net/main.tf"):
        super().__init__(configuration, changed)
        self.configuration = configuration
        self.host.reviewed.merge_bases[HEAD] = BASE
        self.clock.advance(60)

    def files(self, commit, **changed):
        """Let a commit have the planned files with some changes; ``__`` is a slash and ``_`` a dot."""
        paths = {path.replace("__", "/").replace("_", "."): text for path, text in changed.items()}
        texts = {**FILES, **paths}
        self.trees.trees[f"{REPOSITORY}.git", commit] = {path: text.encode() for path, text in texts.items()}

    def merge(self, sha=LANDED, newest=None, configuration=None, **changed):
        """Merge, so that the base branch has the planned files with some changes, and deliver the event."""
        newest = newest or sha
        self.configure(configuration or self.configuration, commit=newest)
        self.files(newest, **changed)
        self.host.reviewed.merge_bases.setdefault(sha, sha)
        self.change(is_open=False, is_merged=True, merge_sha=sha)
        self.closed()

    def closed(self):
        return self.pull_request("closed")

    @property
    def labels(self):
        return [stored.job.flow_label for stored in self.jobs]

    @property
    def left_out(self):
        standing = self.standing("after-merge")
        return None if standing is None else re.sub(r"\\([^\w\s])\u200b?", r"\1", standing)


@pytest.fixture
def landed():
    return Landed()


def test_the_reviewed_plan_is_applied_with_the_planned_code(landed):
    landed.merge()
    assert landed.labels == ["plan", "apply"]
    stored = landed.jobs[-1]
    assert (stored.job.commit_hash, stored.job.pr_number, stored.actor) == (HEAD, 7, WRITER.login)
    project = stored.projects["apply-live-net"]
    assert project.saved.planned.sha256 == landed.record.saved.planned.sha256
    assert stored.scope.because == f"applied because pull request 7 was merged into main at {LANDED[:12]}: live/net"
    assert landed.left_out is None


def test_no_comment_applies_before_the_merge(landed):
    landed.comment("/iac-ci apply")
    assert landed.labels == ["plan"]
    assert "live/net is applied by itself after the merge; merge the pull request" in landed.told


def test_the_status_of_the_apply_does_not_wait_before_the_merge(landed):
    status = landed.statuses["iac-ci/apply"]
    assert (status.state.value, status.description) == (
        "success",
        "nothing to apply: what it changes is applied after the merge",
    )


def test_an_event_that_comes_twice_and_late_starts_nothing_twice(landed):
    landed.merge()
    again = landed.last
    landed.deliver(again)
    landed.closed()
    landed.clock.advance(3 * 24 * 3600)
    landed.configure(ON_MERGE, commit=LATER)
    landed.files(LATER, live__net__main_tf="# later")
    landed.closed()
    assert landed.labels == ["plan", "apply"]
    assert landed.left_out is None


def test_a_pull_request_that_is_declined_applies_nothing(landed):
    landed.change(is_open=False)
    landed.closed()
    assert landed.labels == ["plan"]


def _moved(landed):
    """Another pull request has moved the folder, and the merge has followed it."""
    moved = {path.replace("live/net/", "live/network/"): text.encode() for path, text in FILES.items()}
    landed.configure(ON_MERGE, commit=LANDED)
    landed.trees.trees[f"{REPOSITORY}.git", LANDED] = moved
    landed.host.reviewed.merge_bases[LANDED] = LANDED
    landed.change(is_open=False, is_merged=True, merge_sha=LANDED)
    landed.closed()


def test_a_project_that_was_renamed_before_the_merge_is_named(landed):
    _moved(landed)
    assert landed.labels == ["plan"]
    words = (
        f"This pull request planned live/net, and main at {LANDED[:12]} has no such project: nothing of it is applied."
    )
    assert words in landed.left_out
    landed.closed()
    landed.comment("/iac-ci apply")
    assert landed.labels == ["plan"]
    assert words in landed.told
    landed.comment("/iac-ci plan live/network")
    (order,) = landed.orders.values()
    assert (landed.labels, order.order_name, order.commit_hash) == (["plan", "plan"], "plan-live-network", None)
    assert landed.jobs[-1].job.commit_hash == LANDED


def test_nothing_is_planned_in_a_folder_that_the_pull_request_deletes():
    """The file of the base branch still names the folder, which the pull request has skipped."""
    configuration = HAND_WRITTEN.format(on="command: apply", more=", apply_plan: p, after_merge: true").encode()
    landed = Landed(configuration)
    landed.host.changes[7] = (ChangedFile("live/net/main.tf", ChangeKind.REMOVED),)
    before = landed.labels
    landed.configure(configuration, commit=LANDED)
    landed.trees.trees[f"{REPOSITORY}.git", LANDED] = {"README.md": b""}
    landed.host.reviewed.merge_bases[LANDED] = LANDED
    landed.change(is_open=False, is_merged=True, merge_sha=LANDED)
    landed.closed()
    assert landed.labels == before
    assert landed.left_out is None


def test_a_project_that_the_pull_request_deletes_itself_is_not_named(landed):
    landed.changed(ChangedFile("live/net/main.tf", ChangeKind.REMOVED))
    _moved(landed)
    assert landed.left_out is None


def test_an_apply_on_comment_is_not_started_by_a_merge():
    landed = Landed(CONFIGURATION)
    landed.merge()
    assert landed.labels == ["plan"]


def _changed_file(landed):
    landed.merge(live__net__main_tf="# of another")


def _new_file(landed):
    landed.merge(live__net__more_tf="# of another")


def _module(landed):
    landed.merge(modules__vpc__main_tf="# of another")


def _pushed_after_the_plan(landed):
    """A head was pushed between plan and merge."""
    landed.change(head_sha="9" * 40)
    landed.merge(live__net__main_tf="# pushed")


def _another_base(landed):
    landed.edit(base="release")
    landed.merge()


def _configuration(landed):
    landed.merge(configuration=ON_MERGE + b"# changed\n")


def _no_plan(landed):
    landed.plans.plan_records.clear()
    landed.merge()


def _expired(landed):
    landed.edit(usable_until=landed.clock.now())
    landed.merge()


def _applied_by_another(landed):
    landed.applied(OTHER)
    landed.merge()


def _after_the_merge(landed):
    """The plan of the head ended when the pull request was merged already."""
    landed.edit(planned_at=landed.clock.now() + timedelta(seconds=1))
    landed.merge()


def _reverted(landed):
    """The merge was reverted before the event was processed."""
    landed.merge(newest=LATER, live__net__main_tf="# reverted")


def _overtaken(landed):
    """Another pull request was merged within the second."""
    landed.merge(newest=LATER, live__net__other_tf="# of the second")


def _lost_code(landed):
    """The host has the planned commit no more."""
    landed.edit(commit="7" * 40)
    landed.merge()


def _from_a_fork(landed):
    landed.change(is_fork=True, head_repository="mallory/infra")
    landed.merge()


def _author_without_rights(landed):
    landed.change(author=STRANGER)
    landed.merge()


def _merged_result(landed):
    """The plan was of a merge into another commit, whose files the base branch does not have any more."""
    landed.files("5" * 40, live__net__old_tf="# old")
    landed.edit(merge_into="5" * 40)
    landed.merge()


PLANNED_INSTEAD = {
    "a changed file": (_changed_file, "differs from what was planned of live/net, in live/net/main.tf"),
    "a new file": (_new_file, "in live/net/more.tf"),
    "a module": (_module, "in modules/vpc/main.tf"),
    "a head between plan and merge": (_pushed_after_the_plan, "differs from what was planned of live/net"),
    "another base branch": (_another_base, "made for the base branch release, and that is main now"),
    "a changed configuration": (_configuration, ".iac-ci.yml on main has changed since"),
    "no plan": (_no_plan, "live/net has no plan in this pull request"),
    "an expired plan": (_expired, "expired at"),
    "an apply of another pull request": (_applied_by_another, "was applied by pull request 12"),
    "a plan after the merge": (_after_the_merge, "was made after the merge, and no person has reviewed it"),
    "a revert": (_reverted, "differs from what was planned of live/net"),
    "a second merge": (_overtaken, "in live/net/other.tf"),
    "lost code": (_lost_code, "cannot be compared with main at"),
    "a fork": (_from_a_fork, "no longer has the approval that outside contributors need"),
    "an author without rights": (_author_without_rights, "no longer has the approval"),
    "a merged result": (_merged_result, "in live/net/old.tf"),
}


@pytest.mark.parametrize("case", PLANNED_INSTEAD)
def test_what_is_not_as_planned_is_planned_at_the_base_and_said(case):
    make, words = PLANNED_INSTEAD[case]
    landed = Landed()
    make(landed)
    assert landed.labels == ["plan", "plan"]
    newest = landed.host.heads["main"]
    stored = landed.jobs[-1]
    assert [order.order_name for order in stored.job.orders] == ["plan-live-net"]
    assert (stored.job.commit_hash, stored.job.pr_number, stored.job.git_repo) == (newest, 7, f"{REPOSITORY}.git")
    assert stored.projects["plan-live-net"].record is not None
    assert words in landed.left_out
    assert f"it is planned at {newest[:12]}" in landed.left_out
    assert "Then review the new plan and apply it with the comment" in landed.left_out
    landed.closed()
    assert landed.labels == ["plan", "plan"]


def _no_changes(landed):
    landed.edit(changes=Changes(operation=Operation.PLANNED, add=0, change=0, destroy=0))


def _applied_before(landed):
    landed.applied(landed.own())


@pytest.mark.parametrize("make", [_no_changes, _applied_before])
def test_what_is_done_starts_nothing(landed, make):
    make(landed)
    landed.merge()
    assert landed.labels == ["plan"]
    assert landed.left_out is None


def test_other_files_of_the_base_do_not_matter(landed):
    landed.merge(live__dns__main_tf="# other", README="1")
    assert landed.labels == ["plan", "apply"]


def test_a_merged_result_is_compared_as_it_was_planned(landed):
    landed.files("5" * 40, live__net__more_tf="# of the base")
    landed.edit(merge_into="5" * 40, merge_commit="6" * 40)
    landed.merge(live__net__more_tf="# of the base")
    assert landed.labels == ["plan", "apply"]
    (order,) = landed.orders.values()
    assert (order.merge_into, order.merge_commit) == ("5" * 40, "6" * 40)


def test_people_are_asked_again_after_the_merge():
    landed = Landed(APPROVED)
    landed.merge()
    assert landed.labels == ["plan"]
    assert "because its requirements are not met" in landed.left_out
    assert "0 of 1 approvals count" in landed.left_out
    assert "Apply it later with the comment" in landed.left_out
    landed.host.reviewed.approved = Approvals((Approval(STRANGER, landed.clock.now()),))
    landed.comment("/iac-ci apply")
    assert landed.labels == ["plan"]
    ann = replace(WRITER, id="77", login="bea")
    landed.host.permissions[ann.id] = landed.host.permissions[WRITER.id]
    landed.host.reviewed.approved = Approvals((Approval(ann, landed.clock.now()),))
    landed.comment("/iac-ci apply")
    assert landed.labels == ["plan", "apply"]
    assert landed.jobs[-1].projects["apply-live-net"].saved.planned.sha256 == landed.record.saved.planned.sha256
    (order,) = landed.orders.values()
    assert order.commit_hash == HEAD


def test_a_merge_that_the_host_does_not_tell_is_asked_for_again_and_then_said(landed):
    landed.host.reviewed.merge_bases[LANDED] = BASE
    landed.configure(ON_MERGE, commit=LATER)
    landed.files(LATER)
    with pytest.raises(PortFailed) as failed:
        landed.merge(newest=LATER)
    assert failed.value.retry_is_safe
    assert landed.labels == ["plan"]
    landed.clock.advance(600)
    landed.processor.process(landed.invoker.triggered[-1])
    assert landed.labels == ["plan"]
    assert "does not tell which commit the merge made, or the branch does not have it any more" in landed.left_out


def test_a_merge_that_the_host_tells_late_is_applied_once(landed):
    landed.host.reviewed.merge_bases[LANDED] = BASE
    with pytest.raises(PortFailed):
        landed.merge(newest=LATER)
    landed.host.reviewed.merge_bases[LANDED] = LANDED
    landed.processor.process(landed.invoker.triggered[-1])
    landed.processor.process(landed.invoker.triggered[-1])
    assert landed.labels == ["plan", "apply"]


def test_an_event_whose_processing_was_interrupted_decides_by_the_same_commits(landed):
    accepting, landed.processor._acceptance = landed.processor._acceptance, None
    with pytest.raises(AttributeError):
        landed.merge()
    landed.processor._acceptance = accepting
    landed.configure(ON_MERGE, commit=LATER)
    landed.files(LATER, live__net__main_tf="# later")
    landed.processor.process(landed.invoker.triggered[-1])
    assert landed.labels == ["plan", "apply"]
    assert landed.jobs[-1].job.commit_hash == HEAD
    assert landed.left_out is None


def test_two_pull_requests_with_one_project_apply_neither_plan_of_a_mixture(landed):
    landed.host.pulls[8] = replace(landed.host.pulls[7], number=8, head_sha="8" * 40)
    landed.host.changes[8] = (ChangedFile("live/net/other.tf", ChangeKind.ADDED),)
    landed.files("8" * 40, live__net__other_tf="# of the second")
    landed.pull_request(number=8)
    landed.merge(newest=LATER, live__net__main_tf="# of the first", live__net__other_tf="# of the second")
    landed.host.pulls[8] = replace(landed.host.pulls[8], is_open=False, is_merged=True, merge_sha=LATER)
    landed.pull_request("closed", number=8)
    assert landed.labels == ["plan", "plan", "plan", "plan"]
    assert {stored.job.commit_hash for stored in landed.jobs[2:]} == {LATER}
    assert [stored.job.pr_number for stored in landed.jobs[2:]] == [7, 8]


def test_what_comes_after_a_project_that_is_not_applied_waits_too():
    landed = Landed(changed="modules/vpc/main.tf")
    net = next(one for one in landed.plans.plan_records.values() if one.name == "live/net")
    landed.plans.plan_records[net.key] = net.model_copy(update={"base": "release"})
    landed.merge()
    assert landed.labels == ["plan", "plan"]
    assert list(landed.orders) == ["plan-live-net"]
    assert "apply-live-app comes after apply-live-net, which is not applied" in landed.left_out


def test_a_project_that_only_a_command_plans_is_applied_if_it_has_a_plan():
    landed = Landed()
    configuration = ON_MERGE.replace(b"    apply:", b"    autoplan: false\n    apply:")
    landed.configure(configuration)
    landed.comment("/iac-ci plan live/net")
    for name, project in landed.jobs[-1].projects.items():
        landed.enter(name, project, configuration=landed.jobs[-1].scope.configuration)
    landed.clock.advance(60)
    landed.merge(configuration=configuration)
    assert landed.labels == ["plan", "plan", "apply"]


def test_a_broken_configuration_of_the_base_is_said(landed):
    landed.merge(configuration=b"version: 2\n")
    assert landed.labels == ["plan"]
    assert "Nothing is applied after the merge: .iac-ci.yml on main has problems" in landed.left_out
    landed.configure(ON_MERGE, commit=LATER)
    landed.files(LATER)
    landed.comment("/iac-ci apply")
    assert landed.labels == ["plan", "apply"]


def test_a_branch_that_the_stack_does_not_use_starts_nothing(landed):
    landed.connect(branches=["release"])
    landed.clock.advance(600)
    landed.merge()
    assert landed.labels == ["plan"]


class TestCommandsAfterTheMerge:
    """`/iac-ci plan` and `/iac-ci apply` on a merged pull request."""

    @pytest.fixture
    def refused(self, landed):
        landed.merge(live__net__more_tf="# of another")
        return landed

    def test_the_new_plan_is_applied_at_its_commit(self, refused):
        enter(refused)
        refused.comment("/iac-ci apply")
        assert refused.labels == ["plan", "plan", "apply"]
        (order,) = refused.orders.values()
        assert (order.commit_hash or refused.jobs[-1].job.commit_hash) == LANDED

    def test_a_base_that_moved_on_refuses_it_and_a_new_plan_is_of_the_newest_commit(self, refused):
        enter(refused)
        refused.configure(ON_MERGE, commit=LATER)
        refused.files(LATER, live__net__more_tf="# moved on")
        refused.comment("/iac-ci apply")
        assert refused.labels == ["plan", "plan"]
        assert "differs from what was planned of live/net" in refused.told
        assert "plan it again with /iac-ci plan" in refused.told
        refused.comment("/iac-ci plan")
        assert refused.labels == ["plan", "plan", "plan"]
        assert refused.jobs[-1].job.commit_hash == LATER

    def test_a_stranger_starts_nothing(self, refused):
        enter(refused)
        refused.comment("/iac-ci apply", STRANGER)
        assert refused.labels == ["plan", "plan"]

    def test_other_commands_start_nothing(self, refused):
        for word in ("lint", "rerun-failed", "approve " + HEAD):
            refused.comment(f"/iac-ci {word}")
            assert "starts nothing: the pull request is merged" in refused.told
        assert refused.labels == ["plan", "plan"]


class TestApprovalsAfterTheMerge:
    """An order that waits for an approval in a run that a merge or a command after it started."""

    def _answered(self, landed):
        """Let the newest run ask, and a named person approve in a comment; return whether the answer was taken."""
        job = landed.jobs[-1]
        landed.host.permissions[BOB.id] = Permission.WRITE
        landed.runs.insert(*build_rows(job, max_parallel=10))
        (ask,) = (order for order in landed.runs.read(job.run_id).orders if order.approval is not None)
        until = landed.clock.now() + timedelta(hours=1)
        waiting = ask.model_copy(update={"waiting_for": "approval of bob", "order_deadline": until})
        assert landed.runs.apply([Transition(ask, waiting)]) == ()
        landed.clock.advance(10)
        landed.comment("/iac-ci approve ask", BOB)
        return landed.objects.exists(keys.answer(job.run_id, ask.order_num))

    def test_of_the_run_that_the_merge_started(self):
        landed = Landed(ASKED)
        landed.merge()
        assert list(landed.orders) == ["policy", "ask", "a"]
        assert self._answered(landed)

    def test_of_a_run_that_a_command_started_at_the_base_branch(self):
        landed = Landed(ASKED)
        landed.merge(live__net__more_tf="# of another")
        enter(landed)
        landed.comment("/iac-ci apply")
        assert landed.jobs[-1].job.commit_hash == LANDED
        assert self._answered(landed)

    def test_of_a_run_of_an_older_head_it_is_refused(self):
        landed = Landed(ASKED.replace(b", after_merge: true", b""))
        landed.comment("/iac-ci apply")
        landed.change(head_sha="9" * 40)
        landed.merge()
        assert not self._answered(landed)
        assert "for an older commit" in landed.told


def enter(landed):
    """Enter the plan of the newest run as the orchestrator does at its end."""
    stored = landed.jobs[-1]
    (project,) = stored.projects.values()
    landed.edit(
        commit=stored.job.commit_hash,
        configuration=stored.scope.configuration,
        planned_at=landed.clock.now(),
        base=stored.scope.base,
    )
    assert landed.record.key == project.record


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{folder: a, apply: {on: merge, plan: fresh}}", "merge is for reviewed plans"),
        ("{folder: a, tool: terragrunt, apply: {on: merge}}", "merge is for plans that the engine reads"),
        ("{folder: a, apply: {on: push}}", "comment"),
    ],
)
def test_a_project_without_reviewed_plans_has_no_apply_after_the_merge(text, problem):
    with pytest.raises(ConfigurationProblems) as found:
        read_configuration(f"version: 1\nprojects: [{text}]\n".encode())
    assert problem in str([one.what for one in found.value.problems])


HAND_WRITTEN = """
version: 1
jobs:
  plan:
    on: {{pull_request: , command: plan}}
    orders: [{{name: p, folder: live/net, paths: ["live/net/**"], cmds: [x], save: [f], plan: {{file: f}}}}]
  apply:
    on: {{{on}}}
    orders:
      - {{name: stop, folder: live/net, cmds: [./stop]}}
      - {{name: a, folder: live/net, paths: ["live/net/**"], cmds: [y], depends_on: [stop]{more}}}
"""


@pytest.mark.parametrize(
    ("on", "more", "problem"),
    [
        ("command: apply", ", after_merge: true", "is for an order that applies the reviewed plan of another job"),
        ("push: ", ", apply_plan: p, after_merge: true", "needs a command"),
        ("command: apply", ', apply_plan: p, after_merge: ["{{ matrix.x }}"]', "cannot contain a template"),
    ],
)
def test_after_merge_of_an_order_is_checked(on, more, problem):
    with pytest.raises(ConfigurationProblems) as found:
        read_configuration(HAND_WRITTEN.format(on=on, more=more).encode())
    assert problem in str([one.what for one in found.value.problems])


def test_an_order_by_hand_is_applied_after_the_merge_with_what_prepares_it():
    configuration = HAND_WRITTEN.format(on="command: apply", more=", apply_plan: p, after_merge: true").encode()
    landed = Landed(configuration)
    landed.merge(live__dns__main_tf="# other")
    assert landed.labels == ["plan", "apply"]
    assert list(landed.orders) == ["stop", "a"]
    landed = Landed(configuration)
    landed.merge(live__net__main_tf="# other")
    assert landed.labels == ["plan", "plan"]
    assert list(landed.orders) == ["p"]


TWO_JOBS = """
version: 1
jobs:
  plan:
    on: {pull_request: }
    orders:
      - {name: p, folder: live/net, cmds: [x], save: [f], plan: {file: f}}
      - {name: q, folder: live/dns, cmds: [x], save: [f], plan: {file: f}}
  test:
    on: {command: test}
    orders: [{name: a, folder: live/net, cmds: [y], apply_plan: p, after_merge: true}]
  live:
    on: {command: live}
    orders: [{name: a, folder: live/dns, cmds: [y], apply_plan: q, after_merge: true}]
"""


def test_plans_of_several_jobs_are_all_made_again():
    landed = Landed(TWO_JOBS.encode())
    landed.merge(live__net__main_tf="# other")
    assert landed.labels == ["plan", "plan"]
    assert list(landed.orders) == ["p", "q"]
    assert landed.jobs[-1].scope.because.endswith(": live/dns, live/net")
    landed.closed()
    assert landed.labels == ["plan", "plan"]


def test_a_project_after_the_merge_does_not_wait_for_one_before_it():
    rules = b"""
version: 1
projects:
  - {folder: live/net}
  - {folder: live/app, apply: {on: merge}, depends_on: [live/net]}
"""
    landed = Landed(rules, changed="modules/vpc/main.tf")
    landed.merge()
    assert landed.labels == ["plan", "apply"]
    assert list(landed.orders) == ["apply-live-app"]
    assert landed.orders["apply-live-app"].dependencies == []
    landed.comment("/iac-ci apply live/net")
    assert landed.labels == ["plan", "apply"]
    assert "live/net is applied before the merge only, and the pull request is merged" in landed.told


BY_COMMAND = """
version: 1
jobs:
  plan:
    on: {{command: plan}}
    {more}
    orders: [{{name: p, folder: live/net, paths: ["live/net/**"], cmds: [x], save: [f], plan: {{file: f}}}}]
  apply:
    on: {{command: apply}}
    orders: [{{name: a, folder: live/net, cmds: [y], apply_plan: p, after_merge: true}}]
"""


class PlannedByCommand(Landed):
    """A repository whose pull request was planned by a comment, and whose planning job then requires something."""

    def __init__(self, more="", minimum=None):
        Projects.__init__(self)
        self.configure(BY_COMMAND.format(more="").encode())
        self.host.reviewed.merge_bases[HEAD] = BASE
        self.changed(ChangedFile("live/net/main.tf", ChangeKind.MODIFIED))
        self.pull_request()
        self.comment("/iac-ci plan")
        for name, project in self.jobs[0].projects.items():
            self.enter(name, project)
        if minimum is not None:
            self.connect(require=minimum)
        self.configuration = BY_COMMAND.format(more=more).encode()
        self.clock.advance(600)


class TestRequirementsOfPlanning:
    """What the job that plans requires, and the operator of comments, once the pull request is merged."""

    @pytest.mark.parametrize(
        ("more", "minimum"),
        [("require: {undiverged: true, mergeable: true}", None), ("", {"undiverged": True}), ("", {"approved": 1})],
    )
    def test_the_engine_plans_what_the_base_branch_has(self, more, minimum):
        landed = PlannedByCommand(more, minimum)
        landed.merge(live__net__more_tf="# of another")
        assert landed.labels == ["plan", "plan"]

    @pytest.mark.parametrize(
        ("more", "minimum"),
        [("require: {approved: 1}", None), ("", {"approved": 1}), ("", {"approved": 1, "mergeable": True})],
    )
    def test_a_command_asks_for_people_and_for_nothing_about_the_merge(self, more, minimum):
        landed = PlannedByCommand(more, minimum)
        landed.merge(live__net__more_tf="# of another")
        landed.comment("/iac-ci plan")
        assert landed.labels == ["plan", "plan"]
        assert "approved: 0 of 1 approvals count" in landed.told
        bea = replace(WRITER, id="77", login="bea")
        landed.host.permissions[bea.id] = landed.host.permissions[WRITER.id]
        landed.host.reviewed.approved = Approvals((Approval(bea, landed.clock.now()),))
        landed.comment("/iac-ci plan")
        assert landed.labels == ["plan", "plan", "plan"]
        assert landed.jobs[-1].job.commit_hash == LANDED


class TestPushes:
    """The run that a push starts, and the pull request that it came from."""

    @pytest.fixture
    def pushed(self):
        landed = Landed(PUSHED)
        landed.change(is_open=False, is_merged=True, merge_sha=LANDED)
        landed.configure(PUSHED, commit=LANDED)
        return landed

    def _numbers(self, landed):
        landed.push(sha=LANDED)
        return [(stored.job.flow_label, stored.job.pr_number) for stored in landed.jobs[1:]]

    def test_the_merged_pull_request_shows_it(self, pushed):
        assert self._numbers(pushed) == [("deploy", 7)]
        assert pushed.jobs[-1].scope is None

    @pytest.mark.parametrize(
        "fields",
        [{"base_branch": "release"}, {"is_merged": False}, {"merge_sha": LATER}],
        ids=["another base", "not merged", "another commit"],
    )
    def test_another_pull_request_does_not(self, pushed, fields):
        pushed.change(**fields)
        assert self._numbers(pushed) == [("deploy", None)]

    def test_one_with_an_approval_is_shown_nowhere_where_it_could_not_be_answered(self, pushed):
        asks = PUSHED.replace(b"{name: all,", b"{name: ask, approval: {by: [ann], api: true}}, {name: all,")
        pushed.configure(asks, commit=LANDED)
        assert self._numbers(pushed) == [("deploy", None)]

    def test_a_host_that_refuses_the_question_keeps_no_job_from_running(self, pushed, monkeypatch):
        def refuse(commit):
            raise PortFailed("refused")

        monkeypatch.setattr(pushed.host, "pull_requests_of", refuse)
        assert self._numbers(pushed) == [("deploy", None)]

    def test_a_push_that_starts_no_job_asks_nothing(self, pushed, monkeypatch):
        asked = []
        monkeypatch.setattr(pushed.host, "pull_requests_of", lambda commit: asked.append(commit) or ())
        pushed.configure(ON_MERGE, commit=LANDED)
        assert self._numbers(pushed) == []
        assert asked == []
