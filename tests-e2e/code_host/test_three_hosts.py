"""Pull requests on hosts that behave like GitHub, GitLab and Bitbucket: events, late answers, poor tokens, requests."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from iac_ci_common.errors import PortFailed, PreparationFailed
from iac_ci_common.states import OrderState
from iac_ci_local.fake_hosts.bitbucket.payloads import uuid_of
from iac_ci_local.fake_hosts.demo import SHAPES
from iac_ci_local.fake_hosts.project import Project
from iac_ci_local.fake_hosts.repository import HostedRepository
from iac_ci_vcs import gitlab, http_session

from .conftest import AUTHOR, ENGINE, STRANGER
from .engine import Engine

CONFIGURATION = b"""
version: 1
jobs:
  plan:
    on: {pull_request: {paths: ["infra/**"]}, command: plan}
    orders: [{name: network, folder: infra, cmds: [terraform plan]}]
  apply:
    on: {command: apply}
    orders: [{name: apply-network, folder: infra, cmds: [terraform apply]}]
"""


@pytest.fixture(params=SHAPES)
def kind(request):
    return request.param


@pytest.fixture
def project(tmp_path):
    """A project with a pull request that changes a file of its job, and a branch to aim it at."""
    repository = HostedRepository.create(tmp_path / "bare.git")
    repository.commit("main", {".iac-ci.yml": CONFIGURATION, "infra/main.tf": b"1\n"}, "base")
    repository.commit("next", {"other": b"1\n"}, "next", start="main")
    repository.commit("change", {"infra/main.tf": b"2\n"}, "head", start="main")
    tokens = {"engine-token": ENGINE, "author-token": AUTHOR, "stranger-token": STRANGER}
    return Project("demo", "pets", repository, tokens, {"engine": "write", "author": "admin", "stranger": "none"})


@pytest.fixture
def engine(host, project, monkeypatch):
    """An engine whose waits move its clock and the host's."""
    made = Engine(host, project, datetime.now(UTC), branches=["main", "next"])
    project.now = made.clock.now
    for module in (http_session, gitlab):
        monkeypatch.setattr(module, "pause", made.clock.advance)
    project.open_pull_request(title="t", author=AUTHOR, head_branch="change", base_branch="main")
    return made


def head(engine):
    return engine.project.repository.head("change")


def statuses(engine, sha=None):
    return {one.context: one.state for one in engine.project.statuses(sha or head(engine))}


def comments(engine):
    return [one.body for one in engine.project.comments(1) if one.author == ENGINE]


def answers(engine):
    return [body for body in comments(engine) if "iac-ci:answer" in body]


def jobs(engine):
    return [(stored.job.flow_label, stored.job.commit_hash) for stored in engine.jobs]


def test_a_pull_request_is_planned_applied_and_closed(engine):
    engine.activity.opened(1)
    assert jobs(engine) == [("plan", head(engine))]
    assert statuses(engine)["iac-ci/plan"] == "pending"
    engine.end()
    assert statuses(engine)["iac-ci/plan"] == "success"
    engine.activity.comment(1, AUTHOR, "/iac-ci apply")
    assert jobs(engine)[1:] == [("apply", head(engine))]
    engine.end()
    assert statuses(engine)["iac-ci/apply"] == "success"
    engine.activity.close(1, merged=True)
    engine.activity.comment(1, AUTHOR, "/iac-ci plan")
    assert len(engine.jobs) == 2
    assert "closed" in answers(engine)[-1]


def test_a_run_is_listed_with_the_repository_branch_and_person_that_started_it(engine):
    engine.activity.opened(1)
    (accepted,) = (event for event in engine.runs.event_rows.values() if event.kind == "accepted")
    assert accepted.repository == f"{engine.host.address}/demo/pets"
    assert (accepted.job_name, accepted.branch, accepted.pull_request) == ("plan", "change", 1)
    assert accepted.actor == AUTHOR.login
    assert accepted.job_day == f"_job#{accepted.at:%Y-%m-%d}"


def test_a_new_commit_and_another_base_branch_are_planned(engine):
    engine.activity.opened(1)
    engine.end()
    first = head(engine)
    engine.activity.push(1, {"infra/main.tf": b"3\n"})
    engine.end()
    assert jobs(engine) == [("plan", first), ("plan", head(engine))]
    engine.activity.retarget(1, "next")
    assert [stored.scope.base for stored in engine.jobs] == ["main", "main", "next"]


def test_help_and_cancel_are_answered_and_a_strangers_command_is_refused(engine):
    engine.activity.opened(1)
    engine.activity.comment(1, AUTHOR, "/iac-ci help")
    engine.activity.comment(1, AUTHOR, "/iac-ci cancel")
    engine.activity.comment(1, STRANGER, "/iac-ci apply")
    texts = answers(engine)
    assert ["Commands, each" in texts[0], "cancelled" in texts[1], "may not write" in texts[2]] == [True] * 3
    assert len(engine.jobs) == 1
    engine.activity.approve(1, AUTHOR)
    assert engine.answer.status == 200


def test_a_comment_that_was_edited_before_it_is_read_runs_nothing(engine, monkeypatch):
    """On GitLab and Bitbucket other things move the time of its update too, so the text counts there."""
    write = Project.write_comment

    def edited(project, number, author, body):
        written = write(project, number, author, body)
        if author == AUTHOR:
            project.edit_comment(written.id, "/iac-ci apply")
        return written

    monkeypatch.setattr(Project, "write_comment", edited)
    engine.activity.comment(1, AUTHOR, "/iac-ci help")
    assert engine.jobs == []
    assert "was edited" in answers(engine)[-1]


def test_something_visible_follows_each_event_at_once(engine, kind):
    engine.activity.opened(1)
    engine.activity.comment(1, AUTHOR, "/iac-ci help")
    seen = [place for place, author, _ in engine.project.reactions if author == ENGINE.id]
    if kind == "bitbucket":
        assert "arrived at" in comments(engine)[0].replace("\\", "")
    else:
        comment = next(one.id for one in engine.project.comments(1) if one.author == AUTHOR)
        assert seen == ["issues/1", f"comments/{comment}"]
    assert len(answers(engine)) == 1


def test_no_comment_of_the_engine_shows_html_where_the_host_renders_none(engine, host):
    engine.activity.opened(1)
    engine.end()
    engine.activity.comment(1, AUTHOR, "/iac-ci help")
    assert any(re.search(r"<(details|!--)", body) for body in comments(engine)) is host.shape.has_html


@pytest.mark.parametrize("seconds", [1, 20, 59])
def test_an_event_that_is_newer_than_the_api_waits_for_the_api(engine, seconds):
    engine.project.lag = timedelta(seconds=seconds)
    engine.activity.opened(1)
    engine.clock.advance(120)
    engine.activity.push(1, {"infra/main.tf": b"3\n"})
    engine.clock.advance(120)
    engine.activity.comment(1, AUTHOR, "/iac-ci plan")
    assert [sha for _, sha in jobs(engine)][1:] == [head(engine)] * 2
    engine.clock.advance(120)
    engine.activity.retarget(1, "next")
    assert engine.jobs[-1].scope.base == "next"


def test_an_api_that_stays_behind_is_an_error_that_a_retry_repairs(engine):
    engine.activity.opened(1)
    engine.clock.advance(600)
    engine.project.lag = timedelta(minutes=5)
    with pytest.raises(PortFailed) as failed:
        engine.activity.push(1, {"infra/main.tf": b"3\n"})
    assert failed.value.retry_is_safe
    assert len(engine.jobs) == 1
    engine.clock.advance(300)
    engine.processor.process(engine.invoker.triggered[-1])
    assert jobs(engine)[-1] == ("plan", head(engine))


def test_an_event_that_is_older_than_the_api_does_not_wait(engine):
    """Two pushes, whose events arrive in the other sequence."""
    engine.activity.opened(1)
    late = []
    begin, engine.begin = engine.begin, lambda *sent: late.append(sent) or (lambda: None)
    engine.activity.push(1, {"infra/main.tf": b"3\n"})
    engine.clock.advance(5)
    engine.activity.push(1, {"infra/main.tf": b"4\n"})
    before = engine.clock.now()
    for sent in reversed(late):
        begin(*sent)
    assert [sha for _, sha in jobs(engine)][1:] == [head(engine)]
    # GitLab is asked for the pipeline of a new commit for three seconds.
    assert engine.clock.now() - before <= timedelta(seconds=3)


@pytest.mark.parametrize("kind", ["bitbucket"])
@pytest.mark.parametrize("named", [True, False])
def test_a_token_that_may_not_ask_about_people_needs_their_names(host, project, engine, named):
    project.may_ask_about_people = False
    engine = Engine(host, project, engine.clock.now(), writers=[uuid_of(AUTHOR.id)] if named else [])
    engine.activity.opened(1)
    engine.activity.comment(1, AUTHOR, "/iac-ci plan")
    if named:
        assert [label for label, _ in jobs(engine)] == ["plan", "plan"]
        return
    assert engine.jobs == []
    assert "does not tell" in answers(engine)[0]
    assert uuid_of(AUTHOR.id) in answers(engine)[0].replace("\\", "").replace("\u200b", "")


REQUESTS = {
    "github": {"opened": 9, "edit": 1, "end": 2, "comment": 11},
    "gitlab": {"opened": 16, "edit": 1, "end": 4, "comment": 14},
    "bitbucket": {"opened": 15, "edit": 1, "end": 2, "comment": 17},
}
"""Requests until an event's run is prepared and reported, of an edit while it runs, and until its end is reported."""


def test_the_requests_of_an_event_are_budgeted(engine, host, kind):
    counts = {}
    for name, act in (
        ("opened", lambda: engine.activity.opened(1)),
        ("edit", engine.edit),
        ("end", engine.end),
        ("comment", lambda: engine.activity.comment(1, AUTHOR, "/iac-ci plan")),
    ):
        before = len(host.recorded)
        act()
        counts[name] = len(host.recorded) - before
        print("\n".join(f"{one.request.method} {one.request.target}" for one in host.recorded[before:]))
    print(f"{kind}: {counts} requests")
    assert counts == REQUESTS[kind]


def test_the_first_comment_is_written_before_code_is_fetched_and_says_why_there_is_none(engine, monkeypatch):
    seen = []

    def checkout(*_, **__):
        seen.append((statuses(engine)["iac-ci/plan"], len(comments(engine))))
        raise PreparationFailed("the code has gone")

    monkeypatch.setattr(engine.preparer._ports.repositories, "checkout", checkout)
    before = len(comments(engine))
    engine.activity.opened(1)
    ((status, written),) = seen
    # On Bitbucket a comment, on other hosts a reaction shows that the event has arrived.
    assert (status, len(comments(engine))) == ("pending", written)
    assert written > before
    engine.end(OrderState.CANCELLED)
    assert "the code has gone" in comments(engine)[-1]
    assert len(comments(engine)) == written


def test_a_run_that_fails_fails_the_commit(engine):
    engine.activity.opened(1)
    engine.end(network=OrderState.FAILED)
    assert statuses(engine)["iac-ci/plan"] == "failure"
