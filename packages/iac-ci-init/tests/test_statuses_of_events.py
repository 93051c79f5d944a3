"""Which statuses events and comments set on a commit, without a run."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from iac_ci_common import keys
from iac_ci_common.initial_rows import build_rows
from iac_ci_common.models.changes import Changes
from iac_ci_common.models.commit_job import JobPart
from iac_ci_common.states import OrderState, RunState
from iac_ci_vcs.commit_jobs import set_job_status
from iac_ci_vcs.provider import ChangedFile, ChangeKind, CommitState, CommitStatus, Permission
from iac_ci_vcs.reporting.publish import publish
from iac_ci_vcs.testing import MemoryReports

sys.path.insert(0, str(Path(__file__).parent))
from event_harness import BASE, CONFIGURATION, HEAD, REPOSITORY, STRANGER, Hosted

README = ChangedFile("README.md", ChangeKind.MODIFIED)
OWN_FILE = ChangedFile(".iac-ci.yml", ChangeKind.MODIFIED)
VALID, FAILED, OPEN = CommitState.SUCCESS, CommitState.FAILURE, CommitState.PENDING
BROKEN = b"version: 1\njobs:\n  plan:\n    on: {command: plan}\n    order: []\n"


@pytest.fixture
def hosted():
    return Hosted()


def touch(hosted, *files):
    hosted.host.changes[7] = files


@pytest.mark.parametrize("files", [(README,), (README, OWN_FILE)])
def test_a_job_whose_paths_are_untouched_has_nothing_to_plan(hosted, files):
    hosted.host.files[".iac-ci.yml", HEAD] = CONFIGURATION
    touch(hosted, *files)
    hosted.pull_request()
    status = hosted.statuses["iac-ci/plan"]
    assert (status.state, status.commit) == (VALID, HEAD)
    assert status.description.startswith("nothing to plan: ")


def test_the_jobs_of_an_outside_contributor_may_have_nothing_to_plan(hosted):
    hosted.change(is_fork=True, author=STRANGER)
    touch(hosted, README)
    hosted.pull_request()
    assert {name: status.state for name, status in hosted.statuses.items()} == {
        "iac-ci/configuration": VALID,
        "iac-ci/plan": VALID,
    }


def test_an_empty_list_of_changes_is_not_known_yet_and_never_nothing(hosted):
    touch(hosted)
    hosted.pull_request()
    assert len(hosted.jobs) == 1
    assert "iac-ci/plan" not in hosted.statuses


def test_a_cut_list_of_changes_is_never_nothing(hosted, monkeypatch):
    from iac_ci_vcs.provider import ChangedFiles

    monkeypatch.setattr(hosted.host, "changed_files", lambda number: ChangedFiles((README,), complete=False))
    hosted.pull_request()
    assert len(hosted.jobs) == 1
    assert "iac-ci/plan" not in hosted.statuses


def test_a_job_of_another_base_branch_has_no_status(hosted):
    hosted.configure(CONFIGURATION.replace(b'paths: ["infra/**"]', b"branches: [release]"))
    hosted.pull_request()
    assert "iac-ci/plan" not in hosted.statuses


@pytest.mark.parametrize(
    ("on_main", "on_head", "state", "text"),
    [
        (CONFIGURATION, None, VALID, ".iac-ci.yml has no problems"),
        (CONFIGURATION, CONFIGURATION, VALID, "this pull request's .iac-ci.yml has no problems"),
        (CONFIGURATION, BROKEN, FAILED, "this pull request's .iac-ci.yml has 2 problems"),
        (CONFIGURATION, b"version: 2\n", FAILED, "this pull request's .iac-ci.yml has 2 problems"),
        (BROKEN, None, FAILED, ".iac-ci.yml on main has 2 problems"),
        (BROKEN, CONFIGURATION, FAILED, ".iac-ci.yml on main has 2 problems"),
        (None, CONFIGURATION, VALID, "this pull request's .iac-ci.yml has no problems"),
        (None, BROKEN, FAILED, "this pull request's .iac-ci.yml has 2 problems"),
    ],
)
def test_a_configuration_with_problems_fails_a_status_of_its_own(hosted, on_main, on_head, state, text):
    hosted.host.files.clear()
    if on_main is not None:
        hosted.host.files[".iac-ci.yml", BASE] = on_main
    if on_head is not None:
        hosted.host.files[".iac-ci.yml", HEAD] = on_head
        touch(hosted, OWN_FILE, README)
    hosted.pull_request()
    status = hosted.statuses["iac-ci/configuration"]
    assert (status.state, status.description, status.commit) == (state, text, HEAD)


def test_without_any_configuration_no_status_is_set(hosted):
    hosted.host.files.clear()
    hosted.pull_request()
    assert hosted.statuses == {}


def test_a_push_with_a_broken_configuration_fails_the_status(hosted):
    hosted.configure(BROKEN, "main", HEAD)
    hosted.push()
    assert hosted.statuses["iac-ci/configuration"].state is FAILED


@pytest.mark.parametrize(
    "text",
    [
        "/iac-ci apply nowhere",
        "/iac-ci aply",
        "/iac-ci apply ../etc",
        "/iac-ci help",
        "/iac-ci cancel",
        "/iac-ci unlock",
        "/iac-ci rerun-failed",
        f"/iac-ci approve {'c' * 40}",
    ],
)
@pytest.mark.parametrize("author_may_write", [True, False])
def test_an_answer_to_a_comment_sets_no_status(hosted, text, author_may_write):
    if not author_may_write:
        hosted.change(author=STRANGER, is_fork=True)
    hosted.comment(text)
    assert hosted.notice is not None
    assert hosted.host.statuses == []


def test_a_command_that_the_stack_refuses_is_answered_and_sets_no_status(hosted):
    hosted.configure(CONFIGURATION.replace(b"ssm:/iac-ci/jobs/one", b"ssm:/somebody/elses"))
    hosted.comment("/iac-ci plan")
    assert "could not start" in hosted.notice
    assert hosted.host.statuses == []


def test_a_command_under_a_broken_configuration_is_answered_and_sets_no_status(hosted):
    hosted.configure(BROKEN)
    hosted.comment("/iac-ci plan")
    assert "line 5" in hosted.notice
    assert hosted.host.statuses == []


def test_an_approval_ends_the_status_that_waits_for_it(hosted):
    hosted.change(is_fork=True)
    hosted.pull_request()
    assert hosted.statuses["iac-ci"].state is OPEN
    hosted.clock.advance(1)
    hosted.comment(f"/iac-ci approve {HEAD}")
    assert hosted.statuses["iac-ci"].state is VALID


def scopes(hosted):
    return [(stored.scope.base, stored.scope.whole, stored.scope.target, stored.not_run) for stored in hosted.jobs]


def test_a_run_knows_what_it_is_of_its_job(hosted):
    hosted.pull_request()
    hosted.comment("/iac-ci apply app")
    hosted.comment("/iac-ci apply")
    assert scopes(hosted) == [
        ("main", True, None, ()),
        ("main", False, "app", ("apply-network",)),
        ("main", True, None, ()),
    ]
    run = build_rows(hosted.jobs[1], max_parallel=1).run
    assert run.report.scope == hosted.jobs[1].scope


def test_a_push_speaks_for_its_commit_alone(hosted):
    hosted.configure(CONFIGURATION, "main", HEAD)
    hosted.push()
    (stored,) = hosted.jobs
    assert stored.scope is None


def failing(hosted, number):
    """Enter a failed plan of another pull request with the same commit."""
    part = JobPart(number, "main", hosted.trigger_id, {"network": "failed"}, whole=True)
    own = CommitStatus(HEAD, "iac-ci/plan", FAILED, "1 failed")
    set_job_status(
        hosted.commit_jobs, REPOSITORY, own, part,
        now=hosted.clock.now(), is_open=lambda number: True, mark=lambda status: None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "state"), [({}, FAILED), ({"is_open": False}, VALID), ({"head_sha": "c" * 40}, VALID)]
)
def test_nothing_to_plan_does_not_hide_what_another_open_pull_request_needs(hosted, change, state):
    hosted.host.pulls[8] = replace(hosted.host.pulls[7], number=8, **change)
    hosted.trigger_id = "20260101T000000-0123456789ab"
    failing(hosted, 8)
    touch(hosted, README)
    hosted.pull_request()
    assert hosted.statuses["iac-ci/plan"].state is state


BEFORE_MERGE = CONFIGURATION.replace(b"on: {command: apply}", b"on: {command: apply, before_merge: true}").replace(
    b'folder: "{{ matrix.directory }}"', b'folder: "{{ matrix.directory }}"\n        paths: ["infra/**"]'
)


def test_an_apply_before_the_merge_waits_for_each_order(hosted):
    hosted.configure(BEFORE_MERGE)
    hosted.pull_request()
    status = hosted.statuses["iac-ci/apply"]
    assert (status.state, status.description) == (OPEN, "2 of 2 orders to apply")


def test_without_changes_there_is_nothing_to_apply_before_the_merge(hosted):
    hosted.configure(BEFORE_MERGE)
    touch(hosted, README)
    hosted.pull_request()
    status = hosted.statuses["iac-ci/apply"]
    assert (status.state, status.description.split(":")[0]) == (VALID, "nothing to apply")


def test_a_newer_event_does_not_forget_what_was_applied(hosted):
    """The comment's run reports, and another event about the same commit comes later."""
    hosted.configure(BEFORE_MERGE)
    hosted.pull_request()
    hosted.comment("/iac-ci apply app")
    stored = hosted.jobs[-1]
    rows = build_rows(stored, max_parallel=1)
    reports = MemoryReports()
    reports.commit_jobs = hosted.commit_jobs
    ended = rows.orders[0].model_copy(update={"status": OrderState.SUCCEEDED})
    publish(reports, rows.run, [ended], not_run=stored.not_run, with_status=True)
    assert reports.statuses[0].description == "1 of 2 orders to apply"
    hosted.pull_request("reopened")
    status = hosted.statuses["iac-ci/apply"]
    assert (status.state, status.description) == (OPEN, "1 of 2 orders to apply")


PLANNED = BEFORE_MERGE.replace(
    b"      - name: network\n        secrets: {TOKEN: ssm:/iac-ci/jobs/one}\n",
    b'      - name: "plan-{{ matrix.directory }}"\n        folder: "{{ matrix.directory }}"\n',
).replace(
    b'    orders:\n      - name: "plan', b'    matrix: {directory: [network, app]}\n    orders:\n      - name: "plan', 1
)
SOME, NONE = Changes(operation="planned", add=1), Changes(operation="planned")


def report_plans(hosted, stored, **changes):
    """End a run, each order with its changes, and return the statuses that this sets."""
    rows = build_rows(stored, max_parallel=1)
    reports = MemoryReports()
    reports.commit_jobs = hosted.commit_jobs
    ended = [
        order.model_copy(update={"status": OrderState.SUCCEEDED, "changes": changes.get(order.order_name[5:])})
        for order in rows.orders
    ]
    run = rows.run.model_copy(update={"status": RunState.SUCCEEDED})
    assert publish(reports, run, ended, with_status=True).failed == {}
    return {status.context: (status.state, status.description) for status in reports.statuses}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"network": SOME, "app": SOME}, None),
        ({"network": SOME, "app": NONE}, (OPEN, "1 of 1 orders to apply")),
        ({"network": SOME, "app": None}, None),
        ({"network": NONE, "app": NONE}, (VALID, "nothing to apply: no plan has changes")),
    ],
)
def test_an_apply_before_the_merge_waits_for_planned_changes_only(hosted, changes, status):
    hosted.configure(PLANNED)
    hosted.pull_request()
    assert hosted.statuses["iac-ci/apply"].description == "2 of 2 orders to apply"
    assert report_plans(hosted, hosted.jobs[0], **changes).get("iac-ci/apply") == status


def test_a_plan_that_was_empty_and_is_planned_again_waits_again(hosted):
    hosted.configure(PLANNED)
    hosted.pull_request()
    report_plans(hosted, hosted.jobs[0], network=NONE, app=NONE)
    hosted.comment("/iac-ci plan")
    assert report_plans(hosted, hosted.jobs[1], network=SOME, app=NONE)["iac-ci/apply"][0] is OPEN
    hosted.comment("/iac-ci apply")
    applied = report_plans(hosted, hosted.jobs[2])
    assert applied["iac-ci/apply"][0] is VALID


@pytest.mark.parametrize(("other", "state"), [({}, VALID), ({"is_open": False}, None), ({"head_sha": "c" * 40}, None)])
def test_a_closed_pull_request_stops_speaking_for_a_shared_commit_at_once(hosted, other, state):
    hosted.trigger_id = "20260101T000000-0123456789ab"
    failing(hosted, 8)
    hosted.host.pulls[8] = replace(hosted.host.pulls[7], number=8, is_open=False)
    hosted.host.pulls[7] = replace(hosted.host.pulls[7], **other)
    part = JobPart(7, "main", "20260101T000001-0123456789ab", {"network": "succeeded"}, whole=True)
    own = CommitStatus(HEAD, "iac-ci/plan", VALID, "1 succeeded")
    set_job_status(
        hosted.commit_jobs, REPOSITORY, own, part,
        now=hosted.clock.now(), is_open=lambda number: True, mark=lambda status: None,
    )  # fmt: skip
    assert hosted.pull_request("closed", number=8).status == 202
    status = hosted.statuses.get("iac-ci/plan")
    assert (status and status.state) is state
    assert hosted.jobs == []
    assert hosted.host.reactions == []


def waiting(hosted, *bases):
    """Open pull requests of an outside contributor with one head commit, from 7 on, at these base branches."""
    for number, base in enumerate(bases, 7):
        hosted.configure(CONFIGURATION, base)
        hosted.host.changes[number] = hosted.host.changes[7]
        hosted.host.pulls[number] = replace(hosted.host.pulls[7], number=number, base_branch=base, author=STRANGER)
        hosted.pull_request(number=number)
        hosted.clock.advance(60)


def test_an_approval_is_for_one_of_two_pull_requests_with_one_commit(hosted):
    hosted.connect(branches=["main", "prod"])
    waiting(hosted, "main", "prod")
    shared = "pull request 8 has the same commit: waiting for an approval of this commit"
    hosted.comment(f"/iac-ci approve {HEAD} main", number=7)
    status = hosted.statuses["iac-ci"]
    assert (status.state, status.description) == (OPEN, shared)
    hosted.clock.advance(60)
    hosted.comment(f"/iac-ci approve {HEAD} prod", number=8)
    status = hosted.statuses["iac-ci"]
    assert (status.state, status.description) == (VALID, "approved by ann")
    hosted.configure(CONFIGURATION + b"# changed", "prod", "d" * 40)
    hosted.clock.advance(60)
    hosted.pull_request("reopened", number=8)
    assert hosted.statuses["iac-ci"].state is OPEN


@pytest.mark.parametrize(("approved", "state"), [(True, (VALID, "approved")), (False, (OPEN, None))])
def test_a_closed_pull_request_waits_for_no_approval_and_leaves_the_status_to_the_others(hosted, approved, state):
    hosted.connect(branches=["main", "prod"])
    waiting(hosted, "main", "prod")
    if approved:
        hosted.comment(f"/iac-ci approve {HEAD} main", number=7)
    hosted.host.pulls[8] = replace(hosted.host.pulls[8], is_open=False)
    hosted.clock.advance(60)
    hosted.pull_request("closed", number=8)
    status = hosted.statuses["iac-ci"]
    assert (status.state, status.description) == (state[0], state[1] or "waiting for an approval of this commit")
    assert "is closed, so no approval is wanted" in hosted.host.comments[8][-1].body
    hosted.change(is_open=False)
    hosted.pull_request("closed", number=7)
    assert (hosted.statuses["iac-ci"] == status) is approved
    hosted.change(is_open=True)
    hosted.clock.advance(60)
    hosted.pull_request("reopened", number=7)
    assert approved or f"/iac-ci approve {HEAD}" in hosted.standing("approval")
    assert hosted.statuses["iac-ci"].state is state[0]


@pytest.mark.parametrize("merged", [True, False])
@pytest.mark.parametrize(
    ("fields", "waits"),
    [({"author": STRANGER}, {"iac-ci", "iac-ci/apply"}), ({"is_draft": True}, {"iac-ci/plan", "iac-ci/apply"})],
)
def test_a_closed_pull_request_leaves_no_status_that_waits_for_it_alone(hosted, fields, waits, merged):
    hosted.configure(BEFORE_MERGE.replace(b"{pull_request: {", b"{pull_request: {drafts: false, "))
    hosted.change(**fields)
    hosted.pull_request()
    assert {name for name, one in hosted.statuses.items() if one.state is OPEN} == waits
    hosted.change(is_open=False, is_merged=merged)
    hosted.pull_request("closed")
    ended = {name: one.description for name, one in hosted.statuses.items() if one.state is CommitState.ERROR}
    # What a merged one has not applied may be applied yet.
    assert ended.keys() == (waits & {"iac-ci"} if merged else waits)
    assert {ended[name] for name in waits & {"iac-ci"}} <= {
        f"the pull request was {'merged' if merged else 'closed'} without an approval"
    }
    hosted.change(is_open=True, is_merged=False)
    hosted.clock.advance(60)
    hosted.pull_request("reopened")
    assert {name for name, one in hosted.statuses.items() if one.state is OPEN} == waits


def test_a_closed_pull_request_ends_a_wait_whose_notice_is_gone(hosted):
    hosted.change(author=STRANGER)
    hosted.pull_request()
    hosted.change(head_sha="c" * 40)
    hosted.pull_request("synchronize")
    hosted.change(base_branch="unused")
    hosted.pull_request("edited", changes={"base": {"ref": {"from": "main"}}})
    hosted.change(head_sha=HEAD, is_open=False)
    hosted.pull_request("closed")
    status = hosted.statuses["iac-ci"]
    assert (status.commit, status.state) == (HEAD, CommitState.ERROR)


def test_a_run_that_is_open_when_its_pull_request_is_closed_ends_its_status_itself(hosted):
    hosted.pull_request()
    rows = build_rows(hosted.jobs[0], max_parallel=1)
    reports = MemoryReports()
    reports.commit_jobs = hosted.commit_jobs
    publish(reports, rows.run, rows.orders, with_status=True)
    hosted.change(is_open=False)
    hosted.pull_request("closed")
    assert reports.statuses[-1].state is OPEN
    assert "iac-ci/plan" not in hosted.statuses


def ended_badly(hosted):
    """Let the pull request's first run fail, and return how its status stands then."""
    hosted.pull_request()
    rows = build_rows(hosted.jobs[0], max_parallel=1)
    reports = MemoryReports()
    reports.commit_jobs = hosted.commit_jobs
    failed = [order.model_copy(update={"status": OrderState.FAILED}) for order in rows.orders]
    publish(reports, rows.run.model_copy(update={"status": RunState.FAILED}), failed, with_status=True)
    hosted.clock.advance(60)
    return reports.statuses[0].state


def narrowed(hosted):
    hosted.configure(CONFIGURATION.replace(b"infra/**", b"elsewhere/**"), commit="d" * 40)


def draftless(hosted):
    hosted.configure(CONFIGURATION.replace(b"pull_request: {", b"pull_request: {drafts: false, "), commit="d" * 40)
    hosted.change(is_draft=True)


@pytest.mark.parametrize(("change", "state"), [(narrowed, VALID), (draftless, OPEN), (lambda hosted: None, None)])
def test_a_run_of_another_configuration_says_nothing_of_a_job_that_does_not_run_now(hosted, change, state):
    assert ended_badly(hosted) is FAILED
    change(hosted)
    hosted.pull_request("labeled")
    status = hosted.statuses.get("iac-ci/plan")
    assert (status and status.state) is state


@pytest.mark.parametrize("run", [RunState.RUNNING, RunState.CANCELLED, RunState.FAILED, RunState.SUCCEEDED])
@pytest.mark.parametrize(
    ("change", "state", "text"),
    [
        (narrowed, VALID, "nothing to plan"),
        (lambda hosted: draftless(hosted) or hosted.change(is_draft=True), OPEN, "1 queued (the newest state"),
    ],
)
def test_a_run_that_ends_late_does_not_speak_for_a_job_that_does_not_run_any_more(hosted, change, state, text, run):
    hosted.pull_request()
    rows = build_rows(hosted.jobs[0], max_parallel=1)
    hosted.clock.advance(60)
    change(hosted)
    hosted.pull_request("labeled")
    before = hosted.statuses["iac-ci/plan"]
    reports = MemoryReports()
    reports.commit_jobs = hosted.commit_jobs
    orders = [order.model_copy(update={"status": OrderState(run.value)}) for order in rows.orders]
    publish(reports, rows.run.model_copy(update={"status": run}), orders, with_status=True)
    assert before.state is reports.statuses[-1].state is state
    assert reports.statuses[-1].description.startswith(text)


def test_a_label_that_is_taken_away_hides_no_failed_run(hosted):
    hosted.configure(FILTERED)
    hosted.change(labels=("infra",))
    assert ended_badly(hosted) is FAILED
    hosted.change(labels=())
    hosted.pull_request("unlabeled")
    assert hosted.statuses["iac-ci/plan"].state is FAILED


def trusted_now(hosted):
    hosted.host.permissions[STRANGER.id] = Permission.WRITE


def elsewhere(hosted):
    hosted.host.heads["dev"] = "e" * 40
    hosted.change(base_branch="dev")


@pytest.mark.parametrize("change", [trusted_now, elsewhere, narrowed])
def test_no_status_waits_for_an_approval_that_nobody_needs(hosted, change):
    hosted.change(author=STRANGER)
    hosted.pull_request()
    assert hosted.statuses["iac-ci"].state is OPEN
    change(hosted)
    hosted.clock.advance(60)
    hosted.pull_request("edited", changes={"base": {}})
    assert hosted.statuses["iac-ci"].state is VALID
    assert "any more" in hosted.standing("approval")


def renamed(hosted):
    hosted.configure(CONFIGURATION.replace(b"  plan:\n", b"  preview:\n"), commit="d" * 40)


def without(hosted):
    del hosted.host.files[".iac-ci.yml", BASE]


def to_release(hosted):
    hosted.connect(branches=["main", "release"])
    branches = b'pull_request: {branches: [main], paths: ["infra/**"]}'
    hosted.configure(CONFIGURATION.replace(b'pull_request: {paths: ["infra/**"]}', branches), "release", "e" * 40)
    hosted.change(base_branch="release")


@pytest.mark.parametrize("change", [renamed, without, to_release, elsewhere])
def test_a_job_that_the_base_branch_does_not_have_any_more_leaves_no_failure(hosted, change):
    assert ended_badly(hosted) is FAILED
    change(hosted)
    hosted.pull_request("edited", changes={"base": {}})
    status = hosted.statuses.get("iac-ci/plan")
    if change in {renamed, without}:
        assert (status.state, status.description) == (VALID, "no pull request into main runs it any more")
    else:
        # Another base branch would take the failure away from the first one.
        assert status is None


def test_a_job_that_a_comment_has_started_keeps_its_status(hosted):
    hosted.comment("/iac-ci apply app")
    hosted.configure(CONFIGURATION + b"# changed", commit="d" * 40)
    hosted.clock.advance(60)
    hosted.pull_request("labeled")
    assert "iac-ci/apply" not in hosted.statuses


def test_a_newer_commit_without_an_approval_gets_no_status_about_one(hosted):
    hosted.change(author=STRANGER)
    hosted.pull_request()
    hosted.host.statuses.clear()
    trusted_now(hosted)
    hosted.change(head_sha="c" * 40)
    hosted.pull_request("synchronize")
    assert "iac-ci" not in hosted.statuses


def test_a_configuration_that_is_not_used_any_more_leaves_no_failure(hosted):
    hosted.configure(BROKEN)
    hosted.pull_request()
    assert hosted.statuses["iac-ci/configuration"].state is FAILED
    elsewhere(hosted)
    hosted.pull_request("edited", changes={"base": {}})
    assert hosted.statuses["iac-ci/configuration"].state is VALID


def test_what_waits_for_a_base_branch_ends_when_the_pull_request_leaves_it(hosted):
    hosted.pull_request()
    elsewhere(hosted)
    hosted.pull_request("edited", changes={"base": {}})
    ledger = hosted.ledgers.read(keys.pull_request_ledger("github.com/acme/infra", 7))
    assert [run.cancel_reason for run in ledger.runs] == ["superseded by the base branch dev"]
    hosted.change(base_branch="main")
    hosted.pull_request("edited", changes={"base": {}})
    assert len(hosted.jobs) == 2


FILTERED = CONFIGURATION.replace(b'{paths: ["infra/**"]}', b"{drafts: false, labels: [infra, terraform-*]}")


@pytest.mark.parametrize(
    ("pull", "started", "state", "text"),
    [
        ({"labels": ("infra",)}, 1, None, None),
        ({"labels": ("other", "terraform-1")}, 1, None, None),
        ({"labels": ()}, 0, VALID, "nothing to plan: the pull request has none of its labels"),
        ({"labels": ("Infra",)}, 0, VALID, "nothing to plan: the pull request has none of its labels"),
        ({"labels": ("infra",), "is_draft": True}, 0, OPEN, "plan starts when the draft is ready for review"),
        ({"labels": (), "is_draft": True}, 0, VALID, "nothing to plan: the pull request has none of its labels"),
    ],
)
def test_drafts_and_labels_filter(hosted, pull, started, state, text):
    hosted.configure(FILTERED)
    hosted.change(**pull)
    hosted.pull_request()
    status = hosted.statuses.get("iac-ci/plan")
    assert (len(hosted.jobs), status and status.state, status and status.description) == (started, state, text)


@pytest.mark.parametrize(
    ("action", "change"),
    [("ready_for_review", {"is_draft": False}), ("labeled", {"labels": ("infra",)}), ("unlabeled", {})],
)
def test_a_draft_that_is_ready_and_a_new_label_start_what_waited(hosted, action, change):
    hosted.configure(FILTERED)
    hosted.change(is_draft="is_draft" in change, labels=() if "labels" in change else ("infra",))
    hosted.pull_request()
    hosted.change(**change)
    hosted.pull_request(action)
    assert len(hosted.jobs) == 1


def test_drafts_run_and_labels_do_not_count_by_default(hosted):
    hosted.change(is_draft=True)
    hosted.pull_request()
    assert len(hosted.jobs) == 1


QUEUE, QUEUED_COMMIT = "gh-readonly-queue/main/pr-7-" + "e" * 40, "f" * 40


def queue(hosted, **fields):
    group = {
        "head_sha": QUEUED_COMMIT, "head_ref": f"refs/heads/{QUEUE}", "base_sha": BASE, "base_ref": "refs/heads/main",
    } | fields  # fmt: skip
    sender = {"id": 5, "login": "ann"}
    return hosted.send("merge_group", {"action": "checks_requested", "merge_group": group, "sender": sender})


def test_a_merge_queue_runs_the_jobs_of_pull_requests_at_its_commit(hosted):
    hosted.configure(BEFORE_MERGE)
    hosted.host.heads[QUEUE] = QUEUED_COMMIT
    assert queue(hosted).status == 202
    (stored,) = hosted.jobs
    job = stored.job
    assert (job.flow_label, job.commit_hash, job.pr_number, job.commit_status) == ("plan", QUEUED_COMMIT, None, True)
    assert job.orders[0].env_vars["IACCI_BASE_BRANCH"] == "main"
    assert stored.scope is None
    assert {name: (status.state, status.commit) for name, status in hosted.statuses.items()} == {
        "iac-ci/configuration": (VALID, QUEUED_COMMIT),
        "iac-ci/apply": (VALID, QUEUED_COMMIT),
    }
    queue(hosted)
    assert len(hosted.jobs) == 1


MATRIX_OF_FOLDERS = b"""
version: 1
jobs:
  plan:
    on: {pull_request: {}}
    matrix: {directory: [app, dns]}
    orders:
      - {name: "plan-{{ matrix.directory }}", folder: "live/{{ matrix.directory }}", cmds: [terraform plan]}
"""


@pytest.mark.parametrize(
    ("left", "orders", "text"),
    [
        (("app", "dns"), ["plan-app", "plan-dns"], None),
        (("app",), ["plan-app"], None),
        ((), [], "nothing to plan: the pull request deletes the folders of its orders"),
        (None, ["plan-app", "plan-dns"], None),
    ],
)
def test_a_merge_queue_plans_no_folder_that_it_deletes(hosted, left, orders, text):
    """The base branch's file names the folder until the merge, and a required check must not fail for that."""
    hosted.configure(MATRIX_OF_FOLDERS)
    hosted.host.heads[QUEUE] = QUEUED_COMMIT
    code = f"{REPOSITORY}.git"
    hosted.trees.trees[code, BASE] = {f"live/{name}/main.tf": b"" for name in ("app", "dns")}
    if left is not None:
        hosted.trees.trees[code, QUEUED_COMMIT] = {"README.md": b""} | {f"live/{name}/main.tf": b"" for name in left}
    queue(hosted)
    assert [order.order_name for stored in hosted.jobs for order in stored.job.orders] == orders
    status = hosted.statuses.get("iac-ci/plan")
    assert (status and status.description) == text
    assert status is None or status.state is VALID


def test_a_merge_queue_waits_for_a_folder_that_the_base_branch_lacks_too(hosted):
    hosted.configure(MATRIX_OF_FOLDERS)
    hosted.host.heads[QUEUE] = QUEUED_COMMIT
    for commit in (BASE, QUEUED_COMMIT):
        hosted.trees.trees[f"{REPOSITORY}.git", commit] = {"live/app/main.tf": b""}
    queue(hosted)
    assert len(hosted.jobs[0].job.orders) == 2


@pytest.mark.parametrize(
    ("fields", "heads"),
    [
        ({"head_ref": "refs/heads/change"}, {"change": QUEUED_COMMIT}),
        ({}, {}),
        ({"base_ref": "refs/heads/other"}, {QUEUE: QUEUED_COMMIT}),
    ],
)
def test_a_merge_group_that_the_host_does_not_have_starts_nothing(hosted, fields, heads):
    hosted.connect(branches=["main"])
    hosted.host.heads |= heads
    queue(hosted, **fields)
    assert (hosted.jobs, hosted.host.statuses) == ([], [])


def test_a_merge_group_is_about_the_commit_that_the_host_names(hosted):
    """The sender of an event can name any commit."""
    hosted.host.heads[QUEUE] = "d" * 40
    queue(hosted)
    assert [stored.job.commit_hash for stored in hosted.jobs] == ["d" * 40]


def test_a_merge_group_under_a_broken_configuration_fails(hosted):
    hosted.configure(BROKEN)
    hosted.host.heads[QUEUE] = QUEUED_COMMIT
    queue(hosted)
    assert hosted.statuses["iac-ci/configuration"].state is FAILED
    assert hosted.jobs == []


def test_a_destroyed_merge_group_starts_nothing(hosted):
    sender = {"id": 5, "login": "ann"}
    answer = hosted.send("merge_group", {"action": "destroyed", "merge_group": {}, "sender": sender})
    assert (answer.status, "destroyed" in answer.content["reason"]) == (200, True)


FOLDERS = b"""
version: 1
jobs:
  plan:
    on: {pull_request: {}, command: plan}
    matrix: {directory: [network, app, new]}
    orders:
      - name: "{{ matrix.directory }}"
        folder: "infra/{{ matrix.directory }}"
        paths: ["infra/{{ matrix.directory }}/**"]
        cmds: [terraform plan]
"""


def removed(path):
    return ChangedFile(path, ChangeKind.REMOVED)


def names(hosted):
    return [[order.order_name for order in stored.job.orders] for stored in hosted.jobs]


def test_a_folder_that_the_pull_request_deletes_is_skipped_with_its_reason(hosted):
    hosted.configure(FOLDERS)
    touch(hosted, removed("infra/app/main.tf"), ChangedFile("infra/new/main.tf", ChangeKind.ADDED))
    hosted.pull_request()
    assert names(hosted) == [["new"]]
    assert "app is skipped: the pull request deletes its folder infra/app" in hosted.notice.replace("\\", "")


def test_a_folder_that_is_moved_away_is_skipped_and_a_new_one_that_matches_is_planned(hosted):
    hosted.configure(FOLDERS)
    touch(hosted, ChangedFile("infra/new/main.tf", ChangeKind.RENAMED, "infra/app/main.tf"))
    hosted.pull_request()
    assert names(hosted) == [["new"]]


def test_a_folder_that_keeps_other_files_is_planned(hosted):
    hosted.configure(FOLDERS)
    hosted.host.files["infra/app/other.tf", HEAD] = b""
    touch(hosted, removed("infra/app/main.tf"))
    hosted.pull_request()
    assert names(hosted) == [["app"]]
    assert hosted.notice is None


def test_a_pull_request_that_only_deletes_folders_has_nothing_to_plan(hosted):
    hosted.configure(FOLDERS)
    touch(hosted, removed("infra/app/main.tf"))
    hosted.pull_request()
    status = hosted.statuses["iac-ci/plan"]
    assert (status.state, hosted.jobs) == (VALID, [])
    assert status.description == "nothing to plan: the pull request deletes the folders of its orders"
    hosted.comment("/iac-ci plan app")
    assert "deletes its folder infra/app" in hosted.notice.replace("\\", "")


def test_the_host_is_asked_only_for_folders_that_may_be_deleted(hosted, monkeypatch):
    asked = []
    monkeypatch.setattr(hosted.host, "has_folder", lambda path, commit: asked.append((path, commit)) or False)
    hosted.configure(FOLDERS)
    touch(
        hosted,
        removed("infra/app/old.tf"),
        ChangedFile("infra/app/main.tf", ChangeKind.MODIFIED),
        removed("infra/network/main.tf"),
        removed("elsewhere/main.tf"),
    )
    hosted.pull_request()
    assert asked == [("infra/network", HEAD)]
