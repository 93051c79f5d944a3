"""Webhooks that never came, came twice or came late, and a host that was down: the tick heals them, each once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from iac_ci_common.errors import PortFailed
from iac_ci_local.fake_hosts.demo import SHAPES
from iac_ci_local.fake_hosts.failures import Failure, FailureKind
from iac_ci_local.fake_hosts.installed_app import InstalledApp, LoggedDelivery
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
"""
TICK = timedelta(minutes=15)


@pytest.fixture(params=SHAPES)
def kind(request):
    return request.param


@pytest.fixture
def project(tmp_path):
    repository = HostedRepository.create(tmp_path / "bare.git")
    repository.commit("main", {".iac-ci.yml": CONFIGURATION, "infra/main.tf": b"1\n"}, "base")
    repository.commit("change", {"infra/main.tf": b"2\n"}, "head", start="main")
    tokens = {"engine-token": ENGINE, "author-token": AUTHOR, "stranger-token": STRANGER}
    return Project("demo", "pets", repository, tokens, {"engine": "write", "author": "admin", "stranger": "none"})


@pytest.fixture
def engine(host, project, monkeypatch):
    """An engine whose waits move its clock and the host's, one hour after a pull request was opened."""
    made = Engine(host, project, datetime.now(UTC), branches=["main", "next"])
    project.now = made.clock.now
    for module in (http_session, gitlab):
        monkeypatch.setattr(module, "pause", made.clock.advance)
    project.open_pull_request(title="t", author=AUTHOR, head_branch="change", base_branch="main")
    return made


def head(engine):
    return engine.project.repository.head("change")


def lose(engine):
    """Lose the webhooks from now on; return the list of what was lost."""
    lost = []
    engine.begin = lambda *sent: lost.append(sent) or (lambda: None)
    return lost


def ticks(engine, number=1):
    for _ in range(number):
        engine.clock.advance(TICK.total_seconds())
        engine.tick()


def planned(engine):
    return [stored.job.commit_hash for stored in engine.jobs]


def comments(engine):
    return [one.body for one in engine.project.comments(1) if one.author == ENGINE]


def test_a_webhook_that_never_came_is_planned_once_by_the_tick(engine, kind):
    lose(engine)
    engine.activity.opened(1)
    ticks(engine, 8)
    assert planned(engine) == [head(engine)]
    first = head(engine)
    engine.activity.push(1, {"infra/main.tf": b"3\n"})
    ticks(engine, 8)
    assert planned(engine) == [first, head(engine)]
    # On Bitbucket, a note tells when the last event arrived.
    assert len(comments(engine)) == (3 if kind == "bitbucket" else 2)
    print(
        f"{kind}: 2 commits without a webhook, 16 ticks: {len(planned(engine))} plans, {len(comments(engine))} comments"
    )


def test_a_webhook_that_came_twice_late_and_beside_the_tick_is_planned_once(engine, kind):
    lost = lose(engine)
    engine.activity.opened(1)
    ticks(engine)
    before = comments(engine)
    # The webhook comes an hour late, and is sent again under another delivery.
    ticks(engine, 4)
    for _ in range(2):
        engine.deliver(*lost[0])
    ticks(engine, 4)
    assert planned(engine) == [head(engine)]
    assert len(comments(engine)) == len(before)
    print(f"{kind}: a tick and two late webhooks: {len(planned(engine))} plan, {len(comments(engine))} comments")


def test_a_webhook_that_came_is_not_brought_again(engine):
    engine.activity.opened(1)
    engine.end()
    ticks(engine, 8)
    assert planned(engine) == [head(engine)]
    assert len(engine.invoker.triggered) == 1


def test_a_changed_configuration_of_the_base_branch_plans_no_planned_commit_again(engine):
    engine.activity.opened(1)
    engine.end()
    engine.project.repository.commit("main", {".iac-ci.yml": CONFIGURATION + b"# changed\n"}, "configuration")
    engine.project.write_comment(1, AUTHOR, "a comment changes the pull request's time")
    engine.project.change(1)
    ticks(engine, 4)
    assert planned(engine) == [head(engine)]


def test_a_host_that_is_down_for_an_hour_is_asked_again_and_each_commit_is_planned_once(engine, host, kind):
    """The host takes the push and loses its webhook, or sends it and does not answer the engine."""
    engine.activity.opened(1)
    engine.end()
    first = head(engine)
    host.failures.plan(Failure(FailureKind.ANSWER, 503), 10_000)
    with pytest.raises(PortFailed):
        # Every attempt of Lambda fails too; then the event is in the dead letters.
        engine.activity.push(1, {"infra/main.tf": b"3\n"})
    for _ in range(2):
        with pytest.raises(PortFailed):
            engine.process(engine.invoker.triggered[-1])
    ticks(engine, 4)
    assert planned(engine) == [first]
    while host.failures.next():
        pass
    ticks(engine, 8)
    assert planned(engine) == [first, head(engine)]
    assert len(comments(engine)) == (3 if kind == "bitbucket" else 2)
    print(f"{kind}: down for an hour, then 8 ticks: {len(planned(engine))} plans, {len(comments(engine))} comments")


def test_a_pull_request_that_changed_a_moment_ago_is_left_to_its_webhook(engine):
    lost = lose(engine)
    engine.activity.opened(1)
    engine.tick()
    assert planned(engine) == []
    engine.deliver(*lost[0])
    ticks(engine, 2)
    assert planned(engine) == [head(engine)]


@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_a_reopened_pull_request_is_planned_once_with_or_without_its_webhook(engine):
    engine.activity.opened(1)
    engine.clock.advance(60)
    engine.activity.close(1)
    engine.clock.advance(60)
    lost = lose(engine)
    engine.activity.reopen(1)
    ticks(engine, 2)
    engine.deliver(*lost[0])
    ticks(engine, 2)
    assert planned(engine) == [head(engine)] * 2


def test_another_base_branch_and_the_end_of_a_draft_are_noticed(engine):
    repository = engine.project.repository
    repository.commit("next", {"other": b"1\n"}, "next", start="main")
    repository.commit("main", {".iac-ci.yml": CONFIGURATION.replace(b"{paths", b"{drafts: false, paths")}, "no drafts")
    engine.project.change(1, is_draft=True)
    engine.activity.opened(1)
    ticks(engine)
    assert planned(engine) == []
    engine.project.change(1, is_draft=False)
    ticks(engine, 2)
    lose(engine)
    engine.activity.retarget(1, "next")
    ticks(engine, 3)
    assert [stored.scope.base for stored in engine.jobs] == ["main", "next"]


def test_an_old_pull_request_is_not_planned(engine):
    lose(engine)
    engine.activity.opened(1)
    engine.clock.advance(timedelta(days=4).total_seconds())
    ticks(engine, 2)
    assert planned(engine) == []


IDLE = {"github": 1, "gitlab": 1, "bitbucket": 1}
"""Requests of an idle tick for each connected repository."""


def test_the_requests_of_an_idle_tick_are_exactly_budgeted(engine, host, kind):
    engine.activity.opened(1)
    engine.end()
    ticks(engine, 2)
    before, objects = len(host.recorded), len(engine.objects.list(""))
    ticks(engine, 4)
    sent = host.recorded[before:]
    answers = {one.answer.status for one in sent}
    assert len(sent) == 4 * IDLE[kind]
    assert answers == ({200} if kind == "bitbucket" else {304})
    assert len(engine.objects.list("")) == objects
    print("\n".join(f"{one.request.method} {one.request.target} {one.answer.status}" for one in sent[:1]))
    print(f"{kind}: {IDLE[kind]} request an idle tick for each connected repository, answered {answers}")


@pytest.fixture
def with_app(engine, host, project):
    """The engine with the key of a GitHub app in place of a token."""
    key = rsa.generate_private_key(65_537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    project.app = InstalledApp(12, "iac-ci", public.decode())
    project.rights["iac-ci[bot]"] = "write"
    secret = json.dumps({"app_id": "12", "private_key": private.decode()})
    made = Engine(host, project, engine.clock.now(), secret=secret, branches=["main"])
    project.now = made.clock.now
    return made


@pytest.mark.parametrize("kind", ["github"])
def test_the_requests_of_an_idle_tick_with_an_app_are_exactly_budgeted(with_app, host):
    """A version of a list belongs to one token, and an app gets another one for each tick."""
    with_app.activity.opened(1)
    ticks(with_app, 2)
    before = len(host.recorded)
    ticks(with_app, 4)
    assert len(host.recorded) - before == 4 * 4
    assert planned(with_app) == [head(with_app)]
    print("github app: 4 requests an idle tick, 3 for each further repository with the same app")


@pytest.mark.parametrize("kind", ["github"])
def test_a_command_that_the_log_of_an_app_shows_as_failed_is_run_once(with_app, project):
    with_app.activity.opened(1)
    with_app.end()
    lost = lose(with_app)
    with_app.activity.comment(1, AUTHOR, "/iac-ci plan")
    (name, payload) = lost[0]
    body = json.dumps(payload).encode()
    for status in (0, 503):
        headers = with_app.activity.shape.headers(name, "a-lost-delivery", body, "secret")
        delivered = LoggedDelivery(
            len(project.app.log) + 1, "a-lost-delivery", with_app.clock.now(), status, headers, payload
        )
        project.app.log.append(delivered)
    ticks(with_app, 4)
    assert planned(with_app) == [head(with_app)] * 2
    # It is sent again by hand, with the same number.
    answer = with_app.send_again(name, payload, "a-lost-delivery")
    assert answer.content["reason"] == "this delivery was already received"
    assert planned(with_app) == [head(with_app)] * 2
    print("github app: a command whose webhook failed twice, and came by hand after the tick: 1 run")
