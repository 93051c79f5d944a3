"""What pull requests, comments and pushes start, and what they must never start."""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from iac_ci_common import keys
from iac_ci_common.errors import PortFailed, SignatureRefused
from iac_ci_common.grants import Grants, part_of
from iac_ci_common.initial_rows import build_rows
from iac_ci_common.locations import parse_location
from iac_ci_common.models.job import Mask
from iac_ci_common.models.rows import JobScope
from iac_ci_common.purpose import Purpose
from iac_ci_common.request import Request
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing import MemoryCodeStore, MemorySealer, MemorySecrets, Sequential
from iac_ci_common.testing.samples import START
from iac_ci_init.downloads import HttpDownloads
from iac_ci_init.job_tools import JobTools
from iac_ci_init.own_tools import OwnTools
from iac_ci_init.preparation import PreparationPorts, Preparer
from iac_ci_init.tool_releases import ToolReleases
from iac_ci_triggers.ledger import Ledger
from iac_ci_triggers.verification import Sender
from iac_ci_vcs.provider import Account, ChangedFile, ChangeKind, CommitState, Permission
from iac_ci_vcs.reviews import Mergeability, Mergeable
from iac_ci_vcs.testing import MemoryReports, MemoryRepositories
from iac_ci_vcs.testing.memory_code_host import ENGINE

sys.path.insert(0, str(Path(__file__).parent))
from event_harness import BASE, CONFIGURATION, HEAD, NEXT, REPOSITORY, SECRET, STRANGER, WRITER, Hosted


def fail_for_now(*arguments, **named):
    raise PortFailed("no", retry_is_safe=True)


@pytest.fixture
def hosted():
    return Hosted()


def test_a_pull_request_starts_what_the_base_branch_says(hosted):
    status, content = hosted.pull_request()
    assert (status, content["received"]) == (202, True)
    (stored,) = hosted.jobs
    job = stored.job
    assert (job.flow_label, job.commit_hash, job.pr_number, job.username) == ("plan", HEAD, 7, "ann")
    assert (job.git_repo, job.git_token_location) == (f"{REPOSITORY}.git", "ssm:/iac-ci/jobs/tokens/acme")
    assert job.orders[0].env_vars["IACCI_PR_NUMBER"] == "7"
    assert stored.source == "github.com/acme/infra"
    assert hosted.watchdogs.started == [(stored.run_id, 1)]
    assert hosted.notice is None


def test_what_touches_no_path_starts_nothing_and_writes_no_comment(hosted):
    hosted.host.changes[7] = (ChangedFile("README.md", ChangeKind.MODIFIED),)
    assert hosted.pull_request().status == 202
    assert (hosted.jobs, hosted.notice) == ([], None)


def test_a_file_that_was_moved_away_counts(hosted):
    hosted.host.changes[7] = (ChangedFile("old/main.tf", ChangeKind.RENAMED, "infra/main.tf"),)
    hosted.pull_request()
    assert len(hosted.jobs) == 1


def test_one_intent_runs_once_through_any_number_of_deliveries(hosted):
    hosted.pull_request("opened")
    hosted.pull_request("synchronize")
    hosted.pull_request("ready_for_review")
    assert len(hosted.jobs) == 1
    comment = hosted.host.write(7, WRITER, "/iac-ci plan")
    payload = {
        "action": "created",
        "issue": {"number": 7, "pull_request": {}},
        "comment": {"id": int(comment.id), "body": comment.body},
        "sender": {"id": 5, "login": "ann"},
    }
    hosted.send("issue_comment", payload)
    hosted.send("issue_comment", payload)
    assert len(hosted.jobs) == 2


def test_a_repeat_after_hours_is_a_duplicate_and_nothing_more(hosted):
    hosted.pull_request()
    hosted.clock.advance(3 * 3600)
    started = len(hosted.invoker.started)
    hosted.pull_request("synchronize")
    assert len(hosted.invoker.started) == started


@pytest.mark.parametrize("seconds", [60, 3 * 3600, 20 * 86_400])
def test_a_reopened_pull_request_is_planned_again_and_once(hosted, seconds):
    hosted.pull_request()
    hosted.clock.advance(seconds)
    hosted.pull_request("reopened")
    assert [stored.job.commit_hash for stored in hosted.jobs] == [HEAD, HEAD]
    hosted.clock.advance(60)
    hosted.processor.process(hosted.invoker.triggered[-1])
    hosted.pull_request("synchronize")
    assert len(hosted.jobs) == 2


def test_the_same_delivery_is_received_once(hosted):
    hosted.pull_request()
    again = hosted.deliver(hosted.last)
    assert (again.status, again.content["received"]) == (200, False)
    forged_id = replace(hosted.last, headers={**hosted.last.headers, "x-github-delivery": "another"})
    assert hosted.deliver(forged_id).content["received"] is False
    assert len(hosted.invoker.triggered) == 1


def test_a_delivery_that_could_not_be_handed_on_is_taken_in_when_it_comes_again(hosted, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(hosted.invoker, "process_event", fail_for_now)
        with pytest.raises(PortFailed):
            hosted.pull_request()
    assert hosted.deliver(hosted.last).status == 202
    assert len(hosted.jobs) == 1


def test_a_leg_that_died_after_the_ledger_goes_on_under_the_same_run(hosted, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(hosted.watchdogs, "start", fail_for_now)
        with pytest.raises(PortFailed):
            hosted.pull_request()
    hosted.processor.process(hosted.invoker.triggered[0])
    (stored,) = hosted.jobs
    ledger = hosted.ledgers.read(keys.pull_request_ledger("github.com/acme/infra", 7))
    assert [run.run_id for run in ledger.runs] == [stored.run_id]


def test_a_newer_commit_supersedes_an_older_run(hosted, monkeypatch):
    asked = []
    monkeypatch.setattr(hosted.runs, "request_cancel", lambda run_id, reason: asked.append((run_id, reason)))
    hosted.pull_request()
    hosted.change(head_sha=NEXT)
    hosted.pull_request("synchronize")
    first, second = hosted.jobs
    assert [stored.job.commit_hash for stored in (first, second)] == [HEAD, NEXT]
    assert asked == [(first.run_id, f"superseded by commit {NEXT[:12]}")]
    assert hosted.objects.exists(keys.trigger(first.run_id))
    ledger = hosted.ledgers.read(second.ledger)
    assert [bool(run.cancel_reason) for run in ledger.runs] == [True, False]


@pytest.mark.parametrize(
    ("rows", "is_folded"),
    [({"dispatched_at": START, "status": OrderState.RUNNING}, False), ({}, True), (None, False)],
    ids=["the apply has begun", "the apply is cancelled", "its rows have expired"],
)
def test_a_newer_commit_folds_the_comments_of_runs_that_have_applied_nothing(hosted, monkeypatch, rows, is_folded):
    """An apply that still runs may fail, and nobody opens a folded comment."""
    folded = []
    monkeypatch.setattr(hosted.host, "fold_comments", lambda number, markers: folded.extend(markers))
    hosted.pull_request()
    hosted.comment("/iac-ci apply app")
    planned, applied = hosted.jobs
    if rows is not None:
        run, orders, events = build_rows(applied, max_parallel=10)
        hosted.runs.insert(run, [order.model_copy(update=rows) for order in orders], events)
    hosted.change(head_sha=NEXT)
    hosted.pull_request("synchronize")
    assert folded == [f"<!-- iac-ci:{stored.run_id} -->" for stored in (planned, applied)[: 1 + is_folded]]


@pytest.mark.parametrize("content", [b"version: 1\n", CONFIGURATION.replace(b"  plan:", b"  look:")])
def test_a_run_whose_job_is_not_known_any_more_is_not_folded(hosted, monkeypatch, content):
    folded = []
    monkeypatch.setattr(hosted.host, "fold_comments", lambda number, markers: folded.extend(markers))
    hosted.pull_request()
    hosted.configure(content)
    hosted.change(head_sha=NEXT)
    hosted.pull_request("synchronize")
    assert folded == []


def test_comments_that_cannot_be_folded_stop_nothing(hosted, monkeypatch):
    def fail(number, markers):
        raise PortFailed("no")

    hosted.pull_request()
    monkeypatch.setattr(hosted.host, "fold_comments", fail)
    hosted.change(head_sha=NEXT)
    hosted.pull_request("synchronize")
    assert len(hosted.jobs) == 2
    assert any("not folded" in message for _, message, _ in hosted.logger.lines)


def test_an_older_event_that_comes_late_is_about_the_newest_commit(hosted):
    payload = {"action": "synchronize", "pull_request": {"number": 7, "head": {"sha": "d" * 40}},
               "sender": {"id": 5, "login": "ann"}}  # fmt: skip
    hosted.send("pull_request", payload)
    assert [stored.job.commit_hash for stored in hosted.jobs] == [HEAD]


@pytest.mark.parametrize("change", [{"is_fork": True}, {"author": STRANGER}, {"is_fork": True, "author": STRANGER}])
def test_an_untrusted_pull_request_runs_nothing_until_its_very_commit_is_approved(hosted, change):
    hosted.change(**change)
    hosted.pull_request()
    assert hosted.jobs == []
    assert f"/iac-ci approve {HEAD}" in hosted.notice
    assert hosted.host.statuses[-1].state is CommitState.PENDING
    hosted.comment("/iac-ci plan")
    hosted.comment(f"/iac-ci approve {HEAD}", STRANGER)
    hosted.comment(f"/iac-ci approve {NEXT}")
    hosted.comment(f"/iac-ci approve {HEAD[:12]}")
    assert hosted.jobs == []
    hosted.clock.advance(1)
    hosted.comment(f"/iac-ci approve {HEAD}")
    assert [stored.job.commit_hash for stored in hosted.jobs] == [HEAD]
    assert hosted.host.statuses[-1].state is CommitState.SUCCESS
    hosted.comment("/iac-ci plan")
    assert len(hosted.jobs) == 2


def test_a_command_below_an_approval_runs_the_commit_that_it_has_approved(hosted):
    hosted.change(author=STRANGER, is_fork=True)
    hosted.pull_request()
    hosted.comment(f"/iac-ci apply\n/iac-ci approve {HEAD}\n/iac-ci apply network")
    assert [stored.job_name for stored in hosted.jobs] == ["plan", "apply"]
    assert [order.order_name for order in hosted.jobs[1].job.orders] == ["apply-network"]
    (answer,) = hosted.answers
    assert answer.count("comes from a fork") == 1


def test_a_new_push_revokes_the_approval(hosted):
    hosted.change(is_fork=True)
    hosted.comment(f"/iac-ci approve {HEAD}")
    hosted.change(head_sha=NEXT)
    hosted.pull_request("synchronize")
    hosted.comment("/iac-ci plan")
    assert [stored.job.commit_hash for stored in hosted.jobs] == [HEAD]
    assert f"/iac-ci approve {NEXT}" in hosted.notice


@pytest.mark.parametrize(
    ("text", "author", "edited"),
    [
        ("/iac-ci apply", STRANGER, False),
        ("/iac-ci apply", WRITER, True),
        ("> /iac-ci apply", WRITER, False),
        ("```\n/iac-ci apply\n```", WRITER, False),
        ("/iac-ci apply", ENGINE, False),
        ("<!-- iac-ci:notice -->\n/iac-ci apply", WRITER, False),
        ("/iac-ci apply $(touch x)", WRITER, False),
        ("/iac-ci apply ../../etc", WRITER, False),
        ("/iac-ci apply nowhere", WRITER, False),
    ],
)
def test_such_a_comment_starts_nothing(hosted, text, author, edited):
    hosted.comment(text, author, edited=edited)
    assert hosted.jobs == []


def test_a_comment_whose_times_differ_and_whose_text_does_not_is_followed(hosted):
    """GitHub moves the time of an update by a second now and then, without an edit."""
    hosted.tell(hosted.host.write(7, WRITER, "/iac-ci apply app", edited=True))
    assert len(hosted.jobs) == 1


@pytest.mark.parametrize(
    ("before", "now", "starts"),
    [
        ("/iac-ci help", "/iac-ci apply app", 0),
        ("/iac-ci apply lib", "/iac-ci apply app", 0),
        ("/iac-ci apply app\n/iac-ci plan", "/iac-ci apply app", 0),
        ("![plan](https://git.example/a.png)\n\n/iac-ci apply app", "![plan](/uploads/a.png)\n\n/iac-ci apply app", 1),
    ],
)
def test_a_comment_with_other_commands_than_its_event_counts_as_edited_whatever_its_times(hosted, before, now, starts):
    """GitHub's times are whole seconds: who edits another's comment in the second of its creation leaves no trace."""
    hosted.tell(hosted.host.write(7, WRITER, now), before=before)
    assert len(hosted.jobs) == starts
    assert starts or "was edited" in hosted.notice


@pytest.mark.parametrize(("end", "starts"), [("", 1), ("\n\n/iac-ci apply lib", 1)])
def test_a_comment_that_is_longer_than_an_event_counts_as_far_as_the_event_has_it(hosted, end, starts):
    """On GitLab, whose comments have up to a million characters, the engine's own reaction moves the second time."""
    text = "/iac-ci apply app\n\n" + "x" * 270_000
    hosted.tell(hosted.host.write(7, WRITER, f"{text}{end}", edited=True))
    assert len(hosted.jobs) == starts
    assert hosted.notice is None


def test_a_comment_that_was_deleted_or_changed_meanwhile_is_not_followed(hosted):
    hosted.comment("/iac-ci plan")
    assert len(hosted.jobs) == 1
    payload = {"action": "created", "issue": {"number": 7, "pull_request": {}},
               "comment": {"id": 99, "body": "/iac-ci apply"}, "sender": {"id": 5, "login": "ann"}}  # fmt: skip
    hosted.send("issue_comment", payload)
    comment = hosted.host.write(7, WRITER, "never mind")
    payload["comment"] = {"id": int(comment.id), "body": "/iac-ci apply"}
    hosted.send("issue_comment", payload)
    assert len(hosted.jobs) == 1


def test_a_target_is_one_entry_of_the_matrix(hosted):
    hosted.comment("/iac-ci apply app")
    (stored,) = hosted.jobs
    assert [order.order_name for order in stored.job.orders] == ["apply-app"]
    hosted.comment("/iac-ci apply nowhere")
    assert "nowhere" in hosted.notice


def test_help_cancel_and_unlock_answer(hosted, monkeypatch):
    asked = []
    monkeypatch.setattr(hosted.runs, "request_cancel", lambda run_id, reason: asked.append(reason))
    hosted.pull_request()
    hosted.comment("/iac-ci help")
    assert "rerun\\-failed" in hosted.notice
    hosted.comment("/iac-ci unlock")
    assert "engine checks this pull request" in hosted.notice
    hosted.comment("/iac-ci cancel")
    assert asked == ["cancelled by ann"]
    hosted.comment("/iac-ci cancel")
    assert "no run" in hosted.notice
    assert len(hosted.answers) == 4


def test_cancel_running_stops_what_runs_and_says_what_had_started(hosted):
    hosted.comment("/iac-ci apply")
    (stored,) = hosted.jobs
    queued = build_rows(stored, max_parallel=10)
    purposes = (Purpose.PLAN, Purpose.APPLY)
    orders = [
        row.model_copy(update={"status": OrderState.RUNNING, "purpose": purpose})
        for row, purpose in zip(queued.orders, purposes, strict=True)
    ]
    hosted.runs.insert(queued.run.model_copy(update={"status": RunState.RUNNING}), orders, queued.events)
    hosted.comment("/iac-ci cancel")
    assert hosted.runs.find_run(stored.run_id).stop_reason is None
    # Its queued orders are cancelled already; what runs is stopped all the same.
    hosted.comment("/iac-ci cancel running")
    run = hosted.runs.find_run(stored.run_id)
    assert (run.cancel_reason, run.stop_reason) == ("cancelled by ann", "cancelled by ann")
    notice = hosted.notice.replace("\\", "")
    assert f"{orders[0].order_name} had started and is asked to stop" in notice
    assert f"{orders[1].order_name} had started and applies and finishes" in notice
    assert f"iac-ci cancel {stored.run_id} {orders[1].order_name} --running" in notice


def test_cancel_running_without_a_started_order_says_so(hosted):
    hosted.pull_request()
    hosted.comment("/iac-ci cancel running")
    assert "No order had started" in hosted.notice


def test_a_change_of_the_configuration_is_shown_and_not_obeyed(hosted):
    evil = CONFIGURATION.replace(b"terraform plan", b"curl evil.example")
    hosted.host.files[".iac-ci.yml", HEAD] = evil
    hosted.host.changes[7] += (ChangedFile(".iac-ci.yml", ChangeKind.MODIFIED),)
    hosted.pull_request()
    assert hosted.jobs[0].job.orders[0].cmds == ["terraform plan"]
    assert "takes effect after merge" in hosted.notice
    hosted.host.files[".iac-ci.yml", HEAD] = b"version: 2\n"
    hosted.change(head_sha=HEAD)
    hosted.pull_request("reopened")
    assert "changed file has problems" in hosted.notice


def test_a_configuration_with_problems_is_a_failure_that_everybody_sees(hosted):
    hosted.host.files[".iac-ci.yml", BASE] = b"version: 1\njobs:\n  plan:\n    on: {command: plan}\n    order: []\n"
    hosted.pull_request()
    assert hosted.jobs == []
    assert "line 5" in hosted.notice
    assert hosted.host.statuses[-1].state is CommitState.FAILURE


def test_what_the_stack_does_not_allow_could_not_start_and_says_why(hosted):
    there = CONFIGURATION.replace(b"ssm:/iac-ci/jobs/one", b"ssm:/somebody/elses")
    hosted.host.files[".iac-ci.yml", BASE] = there
    hosted.pull_request()
    assert hosted.jobs == []
    assert "could not start" in hosted.notice
    assert hosted.host.statuses[-1].context == "iac-ci/plan"
    assert hosted.host.statuses[-1].state is CommitState.FAILURE


def test_no_order_of_a_repository_reads_the_code_hosts_tokens(hosted):
    hosted.host.files[".iac-ci.yml", BASE] = CONFIGURATION.replace(b"jobs/one", b"jobs/tokens/acme")
    hosted.pull_request()
    assert hosted.jobs == []
    assert "could not start" in hosted.notice


SOURCES = "ssm:/iac-ci/iac-ci/sources"


def granting(secrets=None, roles=None):
    """Return an engine on a stack with these lists."""
    hosted = Hosted(sources=SOURCES)
    part = Grants(secrets=secrets or {}, roles=roles or {}).model_dump_json()
    hosted.secrets.values[parse_location(f"{SOURCES}/{part_of('github.com/acme/infra')}")] = part
    return hosted


def test_a_secret_of_another_repository_is_refused():
    hosted = granting(secrets={"github.com/acme/other": ["*"]})
    hosted.pull_request()
    assert hosted.jobs == []
    assert "list of secrets that jobs from github.com/acme/infra may name" in hosted.notice.replace("\\", "")
    hosted = granting(secrets={"*": ["*"]})
    hosted.configure(CONFIGURATION.replace(b"jobs/one", b"jobs/sources/github.com_2Facme_2Fother/one"))
    hosted.pull_request()
    assert hosted.jobs == []


def test_a_role_of_another_repository_is_refused():
    role = b"assume_role: arn:aws:iam::210987654321:role/deploy\n        "
    hosted = granting(secrets={"*": ["*"]}, roles={"github.com/acme/other": ["*"]})
    hosted.configure(CONFIGURATION.replace(b"cmds: [terraform plan]", role + b"cmds: [terraform plan]"))
    hosted.pull_request()
    assert hosted.jobs == []
    assert "list of roles that jobs from github.com/acme/infra may use" in hosted.notice.replace("\\", "")


def test_the_operators_own_token_needs_no_grant():
    hosted = granting(secrets={"github.com/acme/infra": ["one"]})
    hosted.pull_request()
    assert [stored.job.git_token_location for stored in hosted.jobs] == ["ssm:/iac-ci/jobs/tokens/acme"]


def test_a_repository_reads_the_secrets_of_its_own_folder():
    hosted = granting()
    hosted.configure(CONFIGURATION.replace(b"jobs/one", b"jobs/sources/github.com_2Facme_2Finfra/one"))
    hosted.pull_request()
    assert len(hosted.jobs) == 1


def test_without_a_configuration_a_command_is_answered_and_an_event_is_quiet(hosted):
    hosted.host.files.clear()
    hosted.pull_request()
    assert hosted.notice is None
    hosted.comment("/iac-ci plan")
    assert "has no" in hosted.notice


def test_a_closed_pull_request_starts_nothing(hosted):
    hosted.change(is_open=False)
    assert hosted.pull_request("closed").status == 202
    hosted.comment("/iac-ci apply")
    hosted.pull_request("synchronize")
    assert hosted.jobs == []
    assert "closed" in hosted.notice


@pytest.mark.parametrize("is_merged", [False, True])
def test_nothing_more_of_a_declined_pull_request_begins(hosted, monkeypatch, is_merged):
    """What a merged one has not applied yet may go on."""
    asked = []
    monkeypatch.setattr(hosted.runs, "request_cancel", lambda run_id, reason: asked.append((run_id, reason)))
    hosted.pull_request()
    hosted.comment("/iac-ci apply app")
    hosted.change(is_open=False, is_merged=is_merged)
    hosted.pull_request("closed")
    reason = "superseded by the end of the pull request"
    assert asked == ([] if is_merged else [(stored.run_id, reason) for stored in hosted.jobs])
    assert hosted.host.folded == set()
    hosted.pull_request("closed")
    assert len(asked) == len(hosted.jobs) * (not is_merged)


def test_a_declined_pull_request_that_gets_a_label_after_its_reopening_is_planned_again(hosted):
    """The webhook of the reopening itself was lost."""
    hosted.pull_request()
    hosted.change(is_open=False)
    hosted.pull_request("closed")
    hosted.change(is_open=True)
    hosted.pull_request("labeled")
    assert [stored.job_name for stored in hosted.jobs] == ["plan", "plan"]


def test_a_push_runs_once_for_a_commit_and_again_when_the_branch_comes_back(hosted):
    for sha in (HEAD, NEXT):
        hosted.host.files[".iac-ci.yml", sha] = CONFIGURATION
    for sha in (HEAD, HEAD, NEXT, HEAD):
        hosted.host.heads["main"] = sha
        hosted.push(sha=sha)
    assert [stored.job.commit_hash for stored in hosted.jobs] == [HEAD, NEXT, HEAD]
    assert {stored.job.pr_number for stored in hosted.jobs} == {None}
    assert all(stored.job.commit_status for stored in hosted.jobs)
    hosted.host.files[".iac-ci.yml", "d" * 40] = CONFIGURATION
    hosted.push("other", "d" * 40)
    assert len(hosted.jobs) == 3


def test_a_push_is_about_what_the_branch_is_at_and_never_about_a_commit_that_is_not_there(hosted):
    hosted.host.files[".iac-ci.yml", HEAD] = CONFIGURATION
    hosted.host.files[".iac-ci.yml", NEXT] = CONFIGURATION.replace(b"./deploy", b"curl evil.example")
    hosted.host.heads["main"] = HEAD
    hosted.push(sha=NEXT)
    assert [stored.job.commit_hash for stored in hosted.jobs] == [HEAD]
    del hosted.host.heads["main"]
    hosted.host.heads["other"] = HEAD
    hosted.send("push", {"ref": "refs/heads/main", "after": NEXT, "sender": {"id": 5, "login": "ann"}})
    assert len(hosted.jobs) == 1


@pytest.fixture
def lagging(hosted, monkeypatch):
    """A host whose API is behind its webhooks: it tells these heads of ``main`` one after another."""

    def told(*heads):
        rest = list(heads)
        monkeypatch.setattr(hosted.host, "lag_seconds", 60.0, raising=False)
        monkeypatch.setattr("iac_ci_vcs.http_session.pause", lambda seconds: None)
        monkeypatch.setattr(hosted.host, "branch_head", lambda branch: rest.pop(0) if len(rest) > 1 else rest[0])

    for sha in (OLDER, HEAD, NEXT):
        hosted.host.files[".iac-ci.yml", sha] = CONFIGURATION
    return told


OLDER = "e" * 40


def pushed(hosted, before, after):
    sender = {"id": 5, "login": "ann"}
    hosted.send("push", {"ref": "refs/heads/main", "before": before, "after": after, "sender": sender})


@pytest.mark.parametrize("stale", [OLDER, HEAD])
def test_a_push_waits_for_an_api_that_tells_an_older_head(hosted, lagging, stale):
    lagging(OLDER)
    pushed(hosted, "f" * 40, OLDER)
    lagging(HEAD)
    pushed(hosted, OLDER, HEAD)
    lagging(stale, stale, NEXT)
    pushed(hosted, HEAD, NEXT)
    assert [stored.job.commit_hash for stored in hosted.jobs] == [OLDER, HEAD, NEXT]


def test_a_push_that_the_api_does_not_know_after_a_minute_is_tried_again(hosted, lagging):
    lagging(HEAD)
    with pytest.raises(PortFailed, match="does not know it yet") as error:
        pushed(hosted, HEAD, NEXT)
    assert error.value.retry_is_safe
    assert hosted.jobs == []


def test_a_command_waits_for_an_api_that_tells_a_head_of_before(hosted, lagging, monkeypatch):
    """GitHub's comments name no commit: an apply of the older one would be an apply of what nobody sees any more."""
    hosted.pull_request()
    hosted.change(head_sha=NEXT)
    hosted.pull_request("synchronize")
    newest = hosted.host.pulls[7]
    older = replace(newest, head_sha=HEAD)
    lagging(HEAD)
    monkeypatch.setattr(hosted.host, "branch_head", lambda branch: BASE)
    answers = [older, older, newest]
    read = lambda number: answers.pop(0) if len(answers) > 1 else answers[0]  # noqa: E731
    monkeypatch.setattr(hosted.host, "pull_request", read)
    hosted.comment("/iac-ci apply")
    assert [stored.job.commit_hash for stored in hosted.jobs] == [HEAD, NEXT, NEXT]
    answers[:] = [older]
    with pytest.raises(PortFailed, match="does not know it yet"):
        hosted.comment("/iac-ci apply")
    assert len(hosted.jobs) == 3


def test_the_end_of_a_pull_request_whose_fork_was_deleted_does_not_wait_for_its_head(hosted, lagging):
    hosted.change(author=STRANGER, is_fork=True)
    hosted.pull_request()
    lagging(BASE)
    hosted.change(head_sha="", head_repository=None, is_open=False)
    payload = {"action": "closed", "pull_request": {"number": 7, "head": {"sha": HEAD}}, "sender": None}
    hosted.send("pull_request", payload)
    assert hosted.standing("approval") is not None
    assert "is closed, so no approval is wanted" in hosted.standing("approval")
    hosted.comment("/iac-ci plan")
    assert "the pull request is closed" in hosted.notice


def test_a_push_that_another_has_overtaken_runs_the_newest_commit(hosted, lagging):
    lagging(NEXT)
    pushed(hosted, OLDER, HEAD)
    assert [stored.job.commit_hash for stored in hosted.jobs] == [NEXT]


def test_a_branch_of_bitbucket_that_was_reset_and_is_pushed_again_runs_again(hosted):
    """Both pushes have one body, for Bitbucket's pushes have no time."""
    hosted.host.kind = "bitbucket"

    def push(delivery, before, sha):
        hosted.configure(CONFIGURATION, commit=sha)
        change = {
            "new": {"type": "branch", "name": "main", "target": {"hash": sha}},
            "old": {"target": {"hash": before}},
        }
        repository = {"links": {"html": {"href": "https://bitbucket.org/acme/infra"}}}
        payload = {"repository": repository, "actor": {"uuid": "{5}", "nickname": "ann"}, "push": {"changes": [change]}}
        body = json.dumps(payload).encode()
        signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"x-event-key": "repo:push", "x-hub-signature": signature, "x-request-uuid": delivery}
        return hosted.deliver(Request(body, headers), Sender.BITBUCKET).status

    assert [push("one", BASE, HEAD), push("two", HEAD, BASE), push("three", BASE, HEAD)] == [202, 202, 202]
    assert push("three", BASE, HEAD) == 200
    assert push("sent again", BASE, HEAD) == 202
    assert [stored.job.commit_hash for stored in hosted.jobs] == [HEAD, BASE, HEAD]


def test_each_branch_that_is_pushed_to_bitbucket_together_runs_once_also_when_the_event_is_repeated(hosted):
    hosted.host.kind = "bitbucket"
    hosted.connect(branches=["main", "prod"])
    branches = {"main": HEAD, "prod": NEXT}
    hosted.host.heads.update(branches)
    for sha in branches.values():
        hosted.host.files[".iac-ci.yml", sha] = CONFIGURATION.replace(b"branches: [main]", b"branches: [main, prod]")
    payload = {
        "repository": {"links": {"html": {"href": "https://bitbucket.org/acme/infra"}}},
        "actor": {"uuid": "{5}", "nickname": "ann"},
        "push": {
            "changes": [
                {"new": {"type": "branch", "name": name, "target": {"hash": sha}}, "old": None}
                for name, sha in branches.items()
            ]
        },
    }
    body = json.dumps(payload).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"x-event-key": "repo:push", "x-hub-signature": signature, "x-request-uuid": "one"}
    for delivery in ("one", "one", "two"):
        hosted.deliver(Request(body, headers | {"x-request-uuid": delivery}), Sender.BITBUCKET)
    assert [stored.job.commit_hash for stored in hosted.jobs] == [HEAD, NEXT]


@pytest.mark.parametrize(
    "options",
    [
        {"secret": "another"},
        {"secret": ""},
        {"headers": {"x-hub-signature-256": None}},
        {"headers": {"x-hub-signature-256": None, "x-hub-signature": "sha1=" + "0" * 40}},
        {"headers": {"x-hub-signature-256": "sha256=" + "0" * 63}},
    ],
)
def test_what_is_not_proven_is_refused_and_stored_nowhere(hosted, options):
    with pytest.raises(SignatureRefused):
        hosted.pull_request(**options)
    assert hosted.untouched


@pytest.mark.parametrize(
    "repository",
    ["https://github.com/acme/infra-two", "https://github.com/evil/infra", "https://evil.example/acme/infra", None, 5],
)
def test_another_repository_is_refused_though_it_is_signed_with_ours(hosted, repository):
    payload = {"repository": {"html_url": repository}, "action": "opened", "sender": {"id": 5, "login": "ann"},
               "pull_request": {"number": 7, "head": {"sha": HEAD}}}  # fmt: skip
    try:
        received = hosted.send("pull_request", payload)
    except SignatureRefused:
        received = None
    assert received is None or received.status == 200
    assert hosted.untouched


def test_two_spellings_are_one_repository_and_a_second_secret_counts_while_one_replaces_the_other(hosted):
    hosted.secrets.values[parse_location("ssm:/iac-ci/iac-ci/webhook-secret-next")] = "the next"
    hosted.send(
        "pull_request",
        {"repository": {"html_url": "https://GitHub.com/ACME/Infra"}, "action": "opened",
         "pull_request": {"number": 7, "head": {"sha": HEAD}}, "sender": {"id": 5, "login": "ann"}},
        secret="the next",
    )  # fmt: skip
    assert len(hosted.jobs) == 1


def test_a_ping_of_a_whole_organisation_is_answered(hosted):
    received = hosted.send("ping", {"repository": None, "zen": "x"})
    assert (received.status, "pong" in received.content["reason"]) == (200, True)


def test_a_repository_taken_off_the_list_starts_nothing_more(hosted):
    hosted.pull_request()
    hosted.secrets.values[parse_location("ssm:/iac-ci/iac-ci/connections")] = "[]"
    hosted.clock.advance(301)
    with pytest.raises(SignatureRefused):
        hosted.pull_request("synchronize")


@pytest.mark.parametrize("branch", ["$(touch x)", "--upload-pack=touch x", "a`b`", "\N{RIGHT-TO-LEFT OVERRIDE}x"])
def test_a_hostile_branch_reaches_commands_as_a_variable_and_nowhere_else(hosted, branch):
    hosted.change(head_branch=branch)
    hosted.pull_request()
    (stored,) = hosted.jobs
    order = stored.job.orders[0]
    assert order.env_vars["IACCI_BRANCH"] == branch
    assert branch not in " ".join(order.cmds) + str(stored.job.git_repo) + str(order.order_name)


def test_who_cannot_be_told_is_no_reason_to_start_again(hosted, monkeypatch):
    def fail(*arguments, **named):
        raise PortFailed("HTTP 403")

    hosted.change(is_fork=True)
    monkeypatch.setattr(hosted.host, "set_status", fail)
    hosted.pull_request()
    assert "approve" in hosted.notice
    assert any(level == "error" for level, _, _ in hosted.logger.lines)


def test_gitlab_starts_jobs_too(hosted):
    payload = {
        "object_kind": "merge_request",
        "project": {"web_url": "https://gitlab.com/acme/infra"},
        "user": {"id": 5, "username": "ann"},
        "object_attributes": {"iid": 7, "action": "open", "last_commit": {"id": HEAD}},
    }
    headers = {"x-gitlab-event": "Merge Request Hook", "x-gitlab-token": SECRET, "idempotency-key": "one"}
    body = json.dumps(payload).encode()
    assert hosted.deliver(Request(body, headers), Sender.GITLAB).status == 202
    assert hosted.deliver(Request(body, headers), Sender.GITLAB).content["received"] is False
    (stored,) = hosted.jobs
    assert (stored.source, stored.job.git_repo) == ("gitlab.com/acme/infra", "https://gitlab.com/acme/infra.git")
    with pytest.raises(SignatureRefused):
        hosted.deliver(Request(body, headers | {"x-gitlab-token": "guessed"}), Sender.GITLAB)


def test_a_push_on_an_older_gitlab_is_another_one_though_its_body_is_the_same(hosted):
    """A branch was set back in between. Versions before 17.4 send no id of the delivery, and no time of the push."""
    payload = {
        "object_kind": "push", "project": {"web_url": "https://gitlab.com/acme/infra"},
        "ref": "refs/heads/main", "before": NEXT, "after": HEAD, "user_id": 5, "user_username": "ann",
    }  # fmt: skip
    body = json.dumps(payload).encode()
    hosted.configure(CONFIGURATION, commit=HEAD)

    def sent(**headers):
        given = {"x-gitlab-event": "Push Hook", "x-gitlab-token": SECRET}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return hosted.deliver(Request(body, given), Sender.GITLAB).content["received"]

    assert [sent(x_gitlab_event_uuid=cause) for cause in ("one", "one", "two")] == [True, False, True]
    assert [sent(), sent(), sent(x_gitlab_event_uuid="two words")] == [True, False, False]


@pytest.mark.parametrize(("head", "started"), [(HEAD[:12], 1), (NEXT[:12], 0), (None, 1)])
def test_a_command_on_bitbucket_is_for_the_commit_that_its_author_saw(hosted, head, started):
    hosted.host.kind, hosted.host.now = "bitbucket", hosted.clock.now()
    said = hosted.host.write(7, WRITER, "/iac-ci plan")
    source = {"source": {"commit": {"hash": head} if head else None}}
    payload = {
        "repository": {"links": {"html": {"href": "https://bitbucket.org/acme/infra"}}},
        "pullrequest": {"id": 7, **source},
        "comment": {"id": int(said.id), "content": {"raw": said.body}},
        "actor": {"uuid": WRITER.id, "nickname": WRITER.login},
    }
    body = json.dumps(payload).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"x-event-key": "pullrequest:comment_created", "x-hub-signature": signature, "x-request-uuid": "{1}"}
    assert hosted.deliver(Request(body, headers), Sender.BITBUCKET).status == 202
    assert len(hosted.jobs) == started
    assert ("is not the newest commit" in (hosted.notice or "")) is (not started)


def test_bitbuckets_forks_have_their_code_in_the_fork(hosted):
    hosted.host.kind = "bitbucket"
    hosted.change(is_fork=True, head_repository="mallory/infra")
    hosted.ledgers.write(
        Ledger(
            key=keys.pull_request_ledger("bitbucket.org/acme/infra", 7),
            approved_sha=HEAD,
            approved_base="main",
            approved_configuration=hashlib.sha256(CONFIGURATION).hexdigest(),
            expires_at=hosted.clock.now() + timedelta(days=1),
        )
    )
    payload = {
        "repository": {"links": {"html": {"href": "https://bitbucket.org/acme/infra"}}},
        "actor": {"uuid": "{5}", "nickname": "ann"},
        "pullrequest": {"id": 7},
    }
    body = json.dumps(payload).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"x-event-key": "pullrequest:updated", "x-hub-signature": signature, "x-request-uuid": "one"}
    assert hosted.deliver(Request(body, headers), Sender.BITBUCKET).status == 202
    (stored,) = hosted.jobs
    assert stored.job.git_repo == "https://bitbucket.org/acme/infra.git"
    assert {(order.git_repo, order.commit_hash) for order in stored.job.orders} == {
        ("https://bitbucket.org/mallory/infra.git", HEAD)
    }


def test_an_event_of_one_host_is_not_proven_by_anothers_header(hosted):
    body = json.dumps({"repository": {"html_url": REPOSITORY}, "project": {"web_url": REPOSITORY}}).encode()
    with pytest.raises(SignatureRefused):
        hosted.deliver(Request(body, {"x-gitlab-event": "Push Hook", "x-gitlab-token": SECRET}), Sender.GITLAB)


def test_what_failed_is_run_again_without_what_succeeded(hosted):
    hosted.comment("/iac-ci apply")
    (stored,) = hosted.jobs
    queued = build_rows(stored, max_parallel=10)
    ended = {"status": RunState.FAILED, "finished_at": hosted.clock.now()}
    states = (OrderState.SUCCEEDED, OrderState.FAILED)
    orders = [row.model_copy(update={"status": state}) for row, state in zip(queued.orders, states, strict=True)]
    hosted.comment("/iac-ci rerun-failed")
    assert "has not ended" in " ".join(hosted.notice.split())
    hosted.runs.insert(queued.run.model_copy(update=ended), orders, queued.events)
    hosted.comment("/iac-ci rerun-failed")
    again = hosted.jobs[-1].job
    assert [order.order_name for order in again.orders] == [stored.job.orders[1].order_name]
    assert again.flow_label == "apply"
    assert again.mask == stored.job.mask == Mask(also=["db.internal"], never=["eu-central-1"])
    hosted.change(head_sha=NEXT)
    hosted.comment("/iac-ci rerun-failed")
    assert len(hosted.jobs) == 2


def test_what_failed_runs_again_only_if_its_requirements_are_met(hosted):
    hosted.configure(
        CONFIGURATION.replace(b"on: {command: apply}", b"on: {command: apply}\n    require: {mergeable: true}")
    )
    hosted.comment("/iac-ci apply")
    queued = build_rows(hosted.jobs[0], max_parallel=10)
    ended = {"status": RunState.FAILED, "finished_at": hosted.clock.now()}
    orders = [row.model_copy(update={"status": OrderState.FAILED}) for row in queued.orders]
    hosted.runs.insert(queued.run.model_copy(update=ended), orders, queued.events)
    hosted.host.reviewed.mergeable = Mergeability(Mergeable.NO, "it conflicts")
    hosted.comment("/iac-ci rerun-failed")
    assert "would not merge it: it conflicts" in hosted.notice
    assert len(hosted.jobs) == 1
    hosted.host.reviewed.mergeable = Mergeability(Mergeable.YES)
    hosted.comment("/iac-ci rerun-failed")
    assert len(hosted.jobs) == 2


@pytest.mark.parametrize("configuration", [b"version: 2", CONFIGURATION.replace(b"  apply:", b"  other:")])
def test_what_failed_does_not_run_again_if_its_requirements_cannot_be_read(hosted, configuration):
    hosted.comment("/iac-ci apply")
    queued = build_rows(hosted.jobs[0], max_parallel=10)
    ended = {"status": RunState.FAILED, "finished_at": hosted.clock.now()}
    orders = [row.model_copy(update={"status": OrderState.FAILED}) for row in queued.orders]
    hosted.runs.insert(queued.run.model_copy(update=ended), orders, queued.events)
    # A version before kept no digest of the configuration.
    key = keys.pull_request_ledger("github.com/acme/infra", 7)
    ledger = hosted.ledgers.read(key)
    runs = tuple(run.model_copy(update={"configuration": None}) for run in ledger.runs)
    hosted.ledgers.write(ledger.model_copy(update={"runs": runs}))
    hosted.configure(configuration)
    hosted.comment("/iac-ci rerun-failed")
    assert "the job apply cannot be read from" in hosted.notice.replace("\\", "")
    assert len(hosted.jobs) == 1


def test_what_failed_in_any_run_of_the_commit_is_run_again(hosted):
    """The newest state of each order counts: a green run of one target does not hide what failed before."""

    def end(number, **states):
        queued = build_rows(hosted.jobs[number], max_parallel=10)
        ended = {"status": RunState.FAILED, "finished_at": hosted.clock.now()}
        orders = [row.model_copy(update={"status": states[row.order_name[6:]]}) for row in queued.orders]
        hosted.runs.insert(queued.run.model_copy(update=ended), orders, queued.events)

    def again():
        before = len(hosted.jobs)
        hosted.comment("/iac-ci rerun-failed")
        return [[order.order_name for order in stored.job.orders] for stored in hosted.jobs[before:]]

    failed, succeeded = OrderState.FAILED, OrderState.SUCCEEDED
    hosted.comment("/iac-ci apply")
    end(0, network=failed, app=failed)
    hosted.comment("/iac-ci apply app")
    end(1, app=succeeded)
    assert again() == [["apply-network"]]
    digest = hashlib.sha256(CONFIGURATION).hexdigest()
    assert hosted.jobs[2].scope == JobScope(base="main", whole=False, configuration=digest)
    end(2, network=succeeded)
    assert again() == []
    assert "all orders" in hosted.notice
    hosted.comment("/iac-ci apply")
    end(3, network=succeeded, app=failed)
    assert again() == [["apply-app"]]


def test_a_run_that_was_cancelled_before_it_had_rows_is_cancelled_by_its_preparation(hosted):
    hosted.pull_request()
    hosted.change(head_sha=NEXT)
    hosted.pull_request("synchronize")
    first, _ = hosted.jobs
    entry = hosted.ledgers.read(first.ledger).run(first.run_id)
    assert entry.cancel_reason == f"superseded by commit {NEXT[:12]}"
    ports = PreparationPorts(
        hosted.clock, hosted.runs, hosted.ledgers, hosted.objects, MemoryCodeStore(),
        MemoryRepositories({(first.job.git_repo, HEAD): {"infra/main.tf": b""}}),
        MemorySecrets({"ssm:/iac-ci/jobs/one": "x", "ssm:/iac-ci/jobs/tokens/acme": "t"}),
        MemorySealer(), MemoryReports(), Sequential(), hosted.logger,
        JobTools(ToolReleases(hosted.objects, HttpDownloads()), OwnTools("/nonexistent")),
    )  # fmt: skip
    Preparer(ports, 10).prepare(first.run_id)
    assert hosted.runs.read(first.run_id).run.cancel_reason == entry.cancel_reason


def test_only_branches_that_the_operator_names_say_what_runs(hosted):
    (connection,) = json.loads(hosted.secrets.values[parse_location("ssm:/iac-ci/iac-ci/connections")])
    named = json.dumps([connection | {"branches": ["main", "release/*"]}])
    hosted.secrets.values[parse_location("ssm:/iac-ci/iac-ci/connections")] = named
    hosted.configure(CONFIGURATION.replace(b"terraform plan", b"curl evil.example"), "evil", "e" * 40)
    hosted.host.files[".iac-ci.yml", HEAD] = CONFIGURATION.replace(b"[main]", b"[evil]")
    hosted.change(base_branch="evil")
    hosted.pull_request()
    hosted.comment("/iac-ci plan")
    hosted.push("evil")
    assert hosted.jobs == []
    assert "does not use the configuration" in hosted.notice
    hosted.change(base_branch="main")
    hosted.pull_request("edited_base")
    hosted.pull_request("synchronize")
    assert len(hosted.jobs) == 1


def test_an_approval_does_not_hold_after_a_retarget(hosted):
    """Approved for main, aimed at production: production's job asks again, also if the old approval is sent again."""
    hosted.configure(CONFIGURATION.replace(b"jobs/one", b"jobs/production"), "production", "d" * 40)
    hosted.connect(branches=["main", "production"])
    hosted.change(author=STRANGER)
    hosted.pull_request()
    hosted.comment(f"/iac-ci approve {HEAD}")
    approval = next(
        comment for comment in hosted.host.comments[7] if "approve" in comment.body and comment.author == WRITER
    )
    assert len(hosted.jobs) == 1
    hosted.change(base_branch="production")
    hosted.pull_request("edited", changes={"base": {"ref": {"from": "main"}}})
    assert f"/iac-ci approve {HEAD} production" in hosted.notice
    assert hosted.host.statuses[-1].state is CommitState.PENDING
    hosted.tell(approval)
    hosted.comment("/iac-ci plan")
    hosted.comment(f"/iac-ci approve {HEAD}")
    hosted.comment(f"/iac-ci approve {HEAD} main")
    assert len(hosted.jobs) == 1
    assert "was not approved" in hosted.notice
    hosted.comment(f"/iac-ci approve {HEAD} production")
    assert [stored.job.orders[0].secrets["TOKEN"] for stored in hosted.jobs] == [
        "ssm:/iac-ci/jobs/one",
        "ssm:/iac-ci/jobs/production",
    ]
    # It was for production: aimed at main again, the pull request is asked about again.
    hosted.change(base_branch="main")
    hosted.pull_request("edited", changes={"base": {"ref": {"from": "production"}}})
    assert len(hosted.jobs) == 2


def test_a_pull_request_that_comes_back_to_what_was_approved_runs_again(hosted):
    """Its run was superseded, although nothing of the other base branch or commit ran."""
    hosted.configure(CONFIGURATION, "production", "d" * 40)
    hosted.connect(branches=["main", "production"])
    hosted.change(author=STRANGER)
    hosted.comment(f"/iac-ci approve {HEAD}")
    for change in ({"base_branch": "production"}, {"base_branch": "main"}, {"head_sha": NEXT}, {"head_sha": HEAD}):
        hosted.change(**change)
        hosted.pull_request("synchronize")
        hosted.pull_request("synchronize")
    assert [stored.job.commit_hash for stored in hosted.jobs] == [HEAD] * 3
    # What a person cancelled is not started by an event.
    hosted.comment("/iac-ci cancel")
    hosted.pull_request("reopened")
    assert len(hosted.jobs) == 3


def test_a_retargeted_pull_request_is_planned_anew(hosted):
    hosted.configure(CONFIGURATION.replace(b"jobs/one", b"jobs/production"), "production", "d" * 40)
    hosted.connect(branches=["main", "production"])
    hosted.pull_request()
    hosted.change(base_branch="production")
    hosted.pull_request("edited", changes={"base": {"ref": {"from": "main"}}})
    first, second = hosted.jobs
    assert second.job.orders[0].secrets["TOKEN"] == "ssm:/iac-ci/jobs/production"
    runs = {run.run_id: run for run in hosted.ledgers.read(first.ledger).runs}
    assert runs[first.run_id].cancel_reason == "superseded by the base branch production"
    assert (runs[second.run_id].base, runs[second.run_id].cancel_reason) == ("production", None)


@pytest.mark.parametrize("by", [WRITER, STRANGER])
def test_an_approval_and_a_plan_hold_for_the_configuration_that_would_run(hosted, by):
    hosted.change(author=by)
    hosted.pull_request()
    if by is STRANGER:
        hosted.comment(f"/iac-ci approve {HEAD}")
    hosted.comment("/iac-ci apply app")
    changed = CONFIGURATION.replace(b"[terraform plan]", b"[terraform plan -lock=false]")
    hosted.configure(changed, commit="d" * 40)
    hosted.pull_request("reopened")
    started = [stored.job.orders[0].cmds for stored in hosted.jobs]
    expected = [["terraform plan"], ["terraform apply"]]
    if by is WRITER:
        expected.append(["terraform plan -lock=false"])
    else:
        assert f"/iac-ci approve {HEAD}" in hosted.notice
    assert started == expected
    # What a command started goes on: its infrastructure must not be left half-changed.
    assert [run.cancel_reason for run in hosted.ledgers.read(hosted.jobs[0].ledger).runs[:2]] == [
        "superseded by a changed .iac-ci.yml",
        None,
    ]


def test_a_tag_that_is_named_like_the_base_branch_is_not_read(hosted):
    """Hosts that resolve a bare name may prefer the tag; the file is asked for at the commit of refs/heads/main."""
    hosted.host.files[".iac-ci.yml", "main"] = CONFIGURATION.replace(b"terraform plan", b"curl evil.example")
    hosted.pull_request()
    hosted.comment("/iac-ci plan")
    assert [stored.job.orders[0].cmds for stored in hosted.jobs] == [["terraform plan"]] * 2
    del hosted.host.heads["main"]
    hosted.comment("/iac-ci plan")
    assert len(hosted.jobs) == 2


@pytest.mark.parametrize(
    ("branches", "base", "starts"),
    [
        (["release/*"], "release/x", True),
        (["release/*"], "release/x/evil", False),
        (["release/*", "!release/evil"], "release/evil", False),
        (["release/**"], "release/x/y", True),
        (["rel?ase"], "rel/ase", False),
        (["[mn]ain"], "main", True),
        (["MAIN"], "main", False),
        (None, "main", True),
        (None, "release/x", False),
        (None, "refs/heads/main", False),
    ],
)
def test_a_wide_pattern_of_branches_does_not_cross_a_slash(hosted, branches, base, starts):
    hosted.connect(branches=branches)
    hosted.configure(CONFIGURATION.replace(b"[main]", b'["**"]'), base, "d" * 40)
    hosted.host.heads[base] = "d" * 40
    hosted.change(base_branch=base)
    hosted.pull_request()
    hosted.push(base, "d" * 40)
    assert [stored.job.pr_number for stored in hosted.jobs] == ([7, None] if starts else [])


def test_without_branches_the_default_branch_counts_as_it_is_now(hosted):
    hosted.host.default = "trunk"
    hosted.pull_request()
    assert hosted.jobs == []
    hosted.configure(CONFIGURATION, "trunk", "d" * 40)
    hosted.change(base_branch="trunk")
    hosted.pull_request("edited", changes={"base": {}})
    assert len(hosted.jobs) == 1


@pytest.mark.parametrize(("seconds", "obeyed"), [(3600, True), (3601, False), (90 * 86_400, False), (-30, True)])
def test_an_old_comment_is_answered_and_not_obeyed(hosted, seconds, obeyed):
    hosted.clock.advance(90 * 86_400)
    hosted.host.now = hosted.clock.now() - timedelta(seconds=seconds)
    hosted.tell(hosted.host.write(7, WRITER, "/iac-ci apply app"))
    assert len(hosted.jobs) == obeyed
    assert obeyed or "more than an hour old" in hosted.notice


@pytest.mark.parametrize(("seconds", "obeyed"), [(3600, True), (3601, False), (3 * 86_400, False)])
def test_a_comment_from_the_future_does_not_outlive_the_memory_of_its_commands(hosted, seconds, obeyed):
    hosted.host.now = hosted.clock.now() + timedelta(seconds=seconds)
    comment = hosted.host.write(7, WRITER, "/iac-ci apply app")
    hosted.tell(comment)
    assert len(hosted.jobs) == obeyed
    assert obeyed or "in the future" in hosted.notice
    hosted.clock.advance(2 * 86_400)
    for _ in range(60):
        # Newer runs take its run out of the ledger.
        hosted.comment("/iac-ci plan")
    hosted.tell(comment)
    assert len(hosted.jobs) == obeyed + 60


def test_a_comment_that_arrived_in_time_is_obeyed_though_lambda_repeats_its_event_hours_later(hosted, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(hosted.host, "pull_request", fail_for_now)
        with pytest.raises(PortFailed):
            hosted.comment("/iac-ci apply app")
    hosted.clock.advance(5 * 3600)
    hosted.processor.process(hosted.invoker.triggered[-1])
    assert len(hosted.jobs) == 1


@pytest.mark.parametrize("text", ["/iac-ci apply app", "/iac-ci cancel", "/iac-ci plan\n/iac-ci apply app"])
def test_no_command_runs_twice_whatever_is_sent_again(hosted, text):
    """Also after its run left the ledger, and for another commit."""
    hosted.comment(text)
    comment = hosted.host.comments[7][0]
    started = len(hosted.jobs)
    for _ in range(60):
        hosted.comment("/iac-ci plan")
    newest = len(hosted.jobs)
    hosted.change(head_sha=NEXT)
    hosted.tell(comment)
    hosted.clock.advance(3599)
    hosted.tell(comment)
    assert (started, newest, len(hosted.jobs)) == (text.count("apply") + text.count("plan"), started + 60, newest)
    ledger = hosted.ledgers.read(keys.pull_request_ledger("github.com/acme/infra", 7))
    assert all(run.cancel_reason is None for run in ledger.runs)


def test_a_day_has_no_more_commands_than_the_ledger_remembers(hosted, monkeypatch):
    monkeypatch.setattr("iac_ci_triggers.decide.MAX_COMMANDS", 3)
    for _ in range(4):
        hosted.comment("/iac-ci apply app")
    assert len(hosted.jobs) == 3
    assert "at most 3 commands a day" in hosted.notice
    hosted.clock.advance(86_401)
    hosted.comment("/iac-ci apply app")
    assert len(hosted.jobs) == 4


def test_a_command_whose_event_is_repeated_after_a_push_starts_nothing_for_the_other_commit(hosted, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(hosted.objects, "create", fail_for_now)
        with pytest.raises(PortFailed):
            hosted.comment("/iac-ci apply app")
    hosted.change(head_sha=NEXT)
    hosted.processor.process(hosted.invoker.triggered[-1])
    assert hosted.jobs == []
    assert "Write the command again" in hosted.notice


def _pushed(hosted, commit, at):
    """Deliver the event of a push to the pull request, which GitHub says was at this time."""
    before = hosted.host.pulls[7].head_sha
    hosted.change(head_sha=commit)
    told = {"number": 7, "head": {"sha": commit}, "updated_at": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
    sender = {"id": int(WRITER.id), "login": WRITER.login}
    payload = {"action": "synchronize", "before": before, "after": commit, "pull_request": told, "sender": sender}
    hosted.send("pull_request", payload)


@pytest.mark.parametrize(
    ("order", "starts"),
    [
        (("write", "push", "tell push", "tell"), False),
        (("write", "push", "tell", "tell push"), False),
        (("push", "write", "tell push", "tell"), True),
        (("push", "tell push", "write", "tell"), True),
        # Nothing says which of the two was first.
        (("push", "write", "tell", "tell push"), False),
        (("push", "write", "tell", "tell push", "write", "tell"), True),
        (("push", "write", "tell", "write", "tell"), True),
    ],
)
@pytest.mark.parametrize("repeats", [1, 2])
def test_an_apply_on_github_is_for_the_commit_that_its_author_saw(hosted, order, starts, repeats):
    hosted.pull_request()
    written, pushed_at = None, None
    for step in order:
        hosted.clock.advance(2)
        if step == "push":
            hosted.change(head_sha=NEXT)
            pushed_at = hosted.clock.now()
        elif step == "tell push":
            hosted.change(head_sha=HEAD)
            _pushed(hosted, NEXT, pushed_at)
        elif step == "write":
            hosted.host.now = hosted.clock.now()
            written = hosted.host.write(7, WRITER, "/iac-ci apply app")
        else:
            hosted.tell(written)
            for _ in range(repeats - 1):
                hosted.clock.advance(60)
                hosted.processor.process(hosted.invoker.triggered[-1])
    applied = [stored.job.commit_hash for stored in hosted.jobs if stored.job_name == "apply"]
    assert applied == ([NEXT] if starts else [])
    refused = any(f"before {NEXT}" in text for text in hosted.host.written)
    assert refused is (order.count("write") > 1 or not starts)


def test_a_plan_on_github_runs_whatever_commit_its_author_saw(hosted):
    plan = b"        plan: {file: p, workspace: default}\n        save: [p]\n        cmds: [terraform plan]"
    hosted.configure(CONFIGURATION.replace(b"        cmds: [terraform plan]", plan))
    hosted.pull_request()
    hosted.host.now = hosted.clock.now()
    written = hosted.host.write(7, WRITER, "/iac-ci plan")
    hosted.clock.advance(2)
    hosted.change(head_sha=NEXT)
    hosted.tell(written)
    assert [stored.job.commit_hash for stored in hosted.jobs] == [HEAD, NEXT]


def test_a_comment_on_a_pull_request_that_the_engine_has_not_seen_is_obeyed_at_every_attempt(hosted, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(hosted.objects, "create", fail_for_now)
        with pytest.raises(PortFailed):
            hosted.comment("/iac-ci apply app")
    hosted.clock.advance(60)
    hosted.processor.process(hosted.invoker.triggered[-1])
    assert len(hosted.jobs) == 1


BOT = Account("49699333", "dependabot[bot]")


@pytest.mark.parametrize(
    ("author", "is_fork", "starts"),
    [
        (BOT, False, True),
        (BOT, True, False),
        (Account("4969933", BOT.login), False, False),
        (Account("49699333 ", BOT.login), False, False),
    ],
)
def test_a_trusted_bots_pull_request_runs_without_an_approval_by_its_exact_id(hosted, author, is_fork, starts):
    hosted.connect(repositories=[REPOSITORY], trusted_accounts=[BOT.id])
    hosted.change(author=author, is_fork=is_fork)
    hosted.pull_request()
    assert len(hosted.jobs) == starts


@pytest.mark.parametrize("permission", [Permission.NONE, Permission.WRITE, Permission.ADMIN])
def test_a_trusted_bot_gives_no_commands(hosted, permission):
    hosted.connect(repositories=[REPOSITORY], trusted_accounts=[BOT.id])
    hosted.host.permissions[BOT.id] = permission
    hosted.comment("/iac-ci apply app", BOT)
    hosted.comment(f"/iac-ci approve {HEAD}", BOT)
    assert hosted.jobs == []
    assert "may not use commands" in hosted.notice


def test_a_comment_on_gitlab_is_about_the_commit_that_stood_when_it_was_written(hosted):
    for commit, jobs in ((NEXT, 0), (HEAD, 1)):
        comment = hosted.host.write(7, WRITER, "/iac-ci apply app")
        payload = {
            "object_kind": "note",
            "project": {"web_url": "https://gitlab.com/acme/infra"},
            "user": {"id": 5, "username": "ann"},
            "object_attributes": {"id": int(comment.id), "note": comment.body, "noteable_type": "MergeRequest",
                                  "system": False, "action": "create"},
            "merge_request": {"iid": 7, "last_commit": {"id": commit}},
        }  # fmt: skip
        headers = {"x-gitlab-event": "Note Hook", "x-gitlab-token": SECRET, "idempotency-key": commit}
        hosted.deliver(Request(json.dumps(payload).encode(), headers), Sender.GITLAB)
        assert len(hosted.jobs) == jobs
