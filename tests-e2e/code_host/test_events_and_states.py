"""What people see of each event: a status, a comment, a reaction, on a code host that behaves like GitHub.

The table is the one of docs/pull-requests.md.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from iac_ci_common.states import OrderState
from iac_ci_local.fake_hosts.project import Project
from iac_ci_local.fake_hosts.repository import HostedRepository

from .conftest import AUTHOR, ENGINE, STRANGER
from .engine import Engine

PAGE = Path(__file__).parents[2] / "docs" / "pull-requests.md"
CONFIGURATION = b"""
version: 1
jobs:
  plan:
    on: {pull_request: {paths: ["infra/**"], drafts: false}, command: plan}
    matrix: {directory: [dns, cluster]}
    orders:
      - {name: "{{ matrix.directory }}", folder: "infra/{{ matrix.directory }}", cmds: [terraform plan]}
  apply:
    on: {command: apply, before_merge: true}
    matrix: {directory: [dns, cluster]}
    orders:
      - name: "apply-{{ matrix.directory }}"
        folder: "infra/{{ matrix.directory }}"
        paths: ["infra/**"]
        cmds: [terraform apply]
"""
FILES = {"infra/dns/main.tf": b"1\n", "infra/cluster/main.tf": b"1\n", "README.md": b"1\n"}
BROKEN = CONFIGURATION + b"unknown: 1\n"


@pytest.fixture
def project(tmp_path):
    """A project with a configuration and no pull request."""
    repository = HostedRepository.create(tmp_path / "bare.git")
    repository.commit("main", {".iac-ci.yml": CONFIGURATION, **FILES}, "base")
    tokens = {"engine-token": ENGINE, "author-token": AUTHOR, "stranger-token": STRANGER}
    return Project("demo", "pets", repository, tokens, {"engine": "write", "author": "admin", "stranger": "none"})


@pytest.fixture
def engine(host, project):
    return Engine(host, project, datetime.now(UTC))


def propose(engine, files, *, author=AUTHOR, fork=None, base="main", branch="change"):
    """Open a pull request with these changes and deliver its event."""
    engine.project.repository.commit(branch, files, "head", start="main")
    engine.project.open_pull_request(title="t", author=author, head_branch=branch, base_branch=base, fork=fork)
    engine.pull_request()


def infra(engine, **fields):
    propose(engine, {"infra/dns/main.tf": b"2\n"}, **fields)


def head(engine):
    return engine.project.repository.head("change")


def seen(engine):
    """Return the statuses of the head, the first words of the engine's comments, and the places of its reactions."""
    statuses = {one.context: f"{one.state}: {one.description}" for one in engine.project.statuses(head(engine))}
    comments = [one.body for one in engine.project.comments(1) if one.author == ENGINE]
    return statuses, comments, [place for place, author, _ in engine.project.reactions if author == ENGINE.id]


def opened(engine):
    infra(engine)


def opened_elsewhere(engine):
    propose(engine, {"README.md": b"2\n"})


def opened_by_stranger(engine):
    infra(engine, author=STRANGER, fork="stranger/pets")


def opened_broken(engine):
    propose(engine, {".iac-ci.yml": BROKEN, "infra/dns/main.tf": b"2\n"})


def base_broken(engine):
    engine.project.repository.commit("main", {".iac-ci.yml": BROKEN}, "break")
    infra(engine)


def folder_deleted(engine):
    propose(engine, {"infra/dns/main.tf": None})


def pushed(engine):
    infra(engine)
    engine.project.repository.commit("change", {"infra/dns/main.tf": b"3\n"}, "more")
    engine.pull_request("synchronize")


def retargeted(engine):
    infra(engine)
    engine.project.repository.commit("next", {"other": b"1\n"}, "next", start="main")
    engine.project.pull_requests[1] = replace(engine.project.pull_requests[1], base_branch="next")
    engine.pull_request("edited", changes={"base": {"ref": {"from": "main"}}})


def red(engine):
    infra(engine)
    engine.end(dns=OrderState.FAILED)


def green_target(engine):
    red(engine)
    engine.comment(AUTHOR, "/iac-ci plan cluster")
    engine.end()


def rerun(engine):
    infra(engine)
    engine.end()


def slip(engine):
    infra(engine)
    engine.end()
    engine.comment(AUTHOR, "/iac-ci plan clustr")


def look_alike(engine):
    infra(engine)
    engine.end()
    engine.comment(AUTHOR, "- `/iac-ci plan`")


def stranger_commands(engine):
    infra(engine)
    engine.end()
    engine.comment(STRANGER, "/iac-ci apply")


def applied_target(engine):
    infra(engine)
    engine.comment(AUTHOR, "/iac-ci apply apply-dns")
    engine.end()


def approved(engine):
    opened_by_stranger(engine)
    engine.clock.advance(1)
    engine.comment(AUTHOR, f"/iac-ci approve {head(engine)}")


def just_talk(engine):
    infra(engine)
    engine.end()
    engine.comment(AUTHOR, "Looks good.")


ROWS = [
    (
        opened,
        "a pull request is opened",
        "it changes files of a job",
        "`iac-ci/plan` pending",
        "the run",
        "to the pull request",
    ),
    (rerun, "a run ends", "every order succeeded", "`iac-ci/plan` success", "the run", "none"),
    (red, "a run ends", "an order failed", "`iac-ci/plan` failure", "the run", "none"),
    (
        opened_elsewhere,
        "a pull request is opened",
        "it changes no file of a job",
        "`iac-ci/plan` success: nothing to plan",
        "none",
        "to the pull request",
    ),
    (
        opened_by_stranger,
        "a pull request is opened",
        "an outside contributor's",
        "`iac-ci` pending",
        "standing: approval",
        "to the pull request",
    ),
    (
        opened_broken,
        "a pull request is opened",
        "it breaks `.iac-ci.yml`",
        "`iac-ci/configuration` failure",
        "standing: configuration",
        "to the pull request",
    ),
    (
        base_broken,
        "a pull request is opened",
        "the base branch's `.iac-ci.yml` has problems",
        "`iac-ci/configuration` failure",
        "standing: configuration",
        "to the pull request",
    ),
    (
        folder_deleted,
        "a pull request is opened",
        "it deletes the folder of an order",
        "`iac-ci/plan` pending",
        "standing: jobs",
        "to the pull request",
    ),
    (pushed, "new commits", "any", "`iac-ci/plan` pending on the new head", "the new run", "to the pull request"),
    (retargeted, "another base branch", "any", "`iac-ci/plan` pending", "the new run", "to the pull request"),
    (
        green_target,
        "`/iac-ci plan cluster`",
        "it succeeds, another order is red",
        "`iac-ci/plan` failure",
        "the run",
        "to the comment",
    ),
    (
        applied_target,
        "`/iac-ci apply apply-dns`",
        "it succeeds, an order has not run",
        "`iac-ci/apply` pending",
        "the run",
        "to the comment",
    ),
    (slip, "`/iac-ci plan clustr`", "no order has the target", "unchanged", "an answer", "to the comment"),
    (look_alike, "a command in a list or back-ticks", "any", "unchanged", "an answer", "to the comment"),
    (stranger_commands, "a command", "of a person who may not write", "unchanged", "an answer", "to the comment"),
    (
        approved,
        "`/iac-ci approve`",
        "of the newest commit",
        "`iac-ci` success, `iac-ci/plan` pending",
        "an answer",
        "to the comment",
    ),
    (just_talk, "a comment", "without a command", "unchanged", "none", "none"),
]
UNCHANGED = {
    "iac-ci/plan": "success", "iac-ci/apply": "pending", "iac-ci/configuration": "success",
}  # fmt: skip
COMMENTS = {
    "the run": r"<!-- iac-ci:2",
    "the new run": r"<!-- iac-ci:2",
    "an answer": r"<!-- iac-ci:answer:\d+ -->",
    "standing: approval": r"<!-- iac-ci:notice:approval -->",
    "standing: configuration": r"<!-- iac-ci:notice:configuration -->",
    "standing: jobs": r"<!-- iac-ci:notice:jobs -->",
}


@pytest.mark.parametrize(
    ("act", "event", "state", "status", "comment", "reaction"), ROWS, ids=[row[0].__name__ for row in ROWS]
)
def test_each_cell_is_what_people_see(engine, act, event, state, status, comment, reaction):
    act(engine)
    statuses, comments, reactions = seen(engine)
    states = {context: text.split(":")[0] for context, text in statuses.items()}
    if status == "unchanged":
        assert states == UNCHANGED
    for context, expected in re.findall(r"`(iac-ci[^`]*)` (\w+)", status):
        assert states[context] == expected, statuses
    if ": " in status:
        assert status.partition(": ")[2] in statuses["iac-ci/plan"]
    if comment == "none":
        assert [body for body in comments if not body.startswith("<!-- iac-ci:2")] == []
    else:
        assert any(re.match(COMMENTS[comment], body) for body in comments), comments
    written = engine.project.comments(1)
    of_people = [f"comments/{one.id}" for one in written if one.author != ENGINE]
    assert "issues/1" in reactions
    assert [place for place in reactions if place != "issues/1"] == (of_people if reaction == "to the comment" else [])


def test_the_page_has_this_table():
    text = PAGE.read_text("utf-8")
    rows = [f"| {' | '.join(row[1:])} |" for row in ROWS]
    part = text.partition("## What you see\n")[2].partition("\n## ")[0]
    written = [line for line in part.splitlines() if line.startswith("| ")][1:]
    # test_after_merge.py shows what comes after a merge.
    assert [line for line in written if not line.startswith("| a pull request is merged |")] == rows


def test_a_new_pull_request_costs_few_requests_until_its_first_comment(engine, host):
    """Ten files, one job. A job with ``before_merge`` costs one request more, for its status."""
    one_job = CONFIGURATION.partition(b"  apply:")[0]
    engine.project.repository.commit("main", {".iac-ci.yml": one_job}, "one job")
    files = {f"infra/dns/{number}.tf": b"2\n" for number in range(10)}
    propose(engine, files)
    asked = [f"{one.request.method} {one.request.target.partition('?')[0]}" for one in host.recorded]
    first = next(index for index, line in enumerate(asked) if line.startswith("POST") and line.endswith("/comments"))
    print("\n".join(asked[: first + 1]))
    print(f"{first} requests until the first comment")
    assert asked[0].endswith("/issues/1/reactions")
    assert first <= 8


def test_a_newer_commit_folds_the_comments_of_the_runs_before(engine):
    pushed(engine)
    runs = [f"<!-- iac-ci:{stored.run_id} -->" for stored in engine.jobs]
    folded = {one.body.partition("\n")[0]: one.id in engine.project.minimized for one in engine.project.comments(1)}
    assert folded == {runs[0]: True, runs[1]: False}


def test_no_event_goes_without_an_answer_or_a_reason(engine):
    """What asks for nothing is answered to the host, with the reason, and shows nothing."""
    infra(engine)
    before = seen(engine)
    for name, payload in (
        ("ping", {"zen": "x"}),
        ("star", {"action": "created"}),
        ("pull_request", {"action": "assigned"}),
        ("issue_comment", {"action": "edited"}),
        ("merge_group", {"action": "destroyed"}),
    ):
        pull = engine.project.pull_request(1)
        whole = engine.activity.shape.payload_of_pull_request("opened", pull, AUTHOR) | payload
        answer = engine.deliver(name, whole)
        assert answer.status == 200, name
        assert answer.content["reason"]
    assert seen(engine) == before
