"""`checkout: merge`: orders run on what the base branch would be after the merge, on hosts whose merges are stale."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime

import pytest

from iac_ci_common import keys
from iac_ci_common.states import OrderState
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
    on: {pull_request: {}, command: plan}
    checkout: merge
    orders: [{name: network, folder: infra, cmds: [terraform plan]}]
"""


@pytest.fixture(params=SHAPES)
def kind(request):
    return request.param


@pytest.fixture
def project(tmp_path):
    repository = HostedRepository.create(tmp_path / "bare.git")
    repository.commit("main", {".iac-ci.yml": CONFIGURATION, "infra/main.tf": b"1\n"}, "base")
    repository.commit("change", {"infra/head.tf": b"2\n"}, "head", start="main")
    tokens = {"engine-token": ENGINE, "author-token": AUTHOR, "stranger-token": STRANGER}
    return Project("demo", "pets", repository, tokens, {"engine": "write", "author": "admin", "stranger": "none"})


@pytest.fixture
def engine(host, project, monkeypatch):
    """An engine that fetches with git, and whose waits move its clock and the host's."""
    made = Engine(host, project, datetime.now(UTC), fetches=True, branches=["main"])
    project.now = made.clock.now
    for module in (http_session, gitlab):
        monkeypatch.setattr(module, "pause", made.clock.advance)
    project.open_pull_request(title="t", author=AUTHOR, head_branch="change", base_branch="main")
    return made


def move_base(engine, number):
    for index in range(number):
        engine.project.repository.commit(
            "main", {f"infra/base-{index}.tf": b"%d\n" % engine.clock.now().timestamp()}, "b"
        )


def code(engine):
    """Return the names of the files that the newest run gets."""
    row = engine.runs.read(engine.jobs[-1].run_id).orders[0]
    content = engine.objects.get(keys.code(row.code_sha256))
    return {name.removeprefix("infra/") for name in zipfile.ZipFile(io.BytesIO(content)).namelist() if "infra/" in name}


def comment(engine):
    return [one.body for one in engine.project.comments(1) if one.author == ENGINE and "iac-ci status" in one.body][-1]


def checkouts(engine):
    """Return for each checkout why the merge was made here, None if it is the host's."""
    return [fields["made_here"] for _, text, fields in engine.logger.lines if text == "merge checked out"]


def test_the_merged_result_is_planned_and_a_stale_merge_is_noticed(engine, kind):
    """GitHub's test merge comes seconds after it was asked for, and is an old one until then."""
    move_base(engine, 7)
    engine.activity.opened(1)
    assert code(engine) == {"main.tf", "head.tf", *(f"base-{number}.tf" for number in range(7))}
    assert "7 commits behind main" in comment(engine)
    head = engine.project.repository.head("change")
    assert (
        "7 commits behind main"
        in {one.context: one for one in engine.project.statuses(head)}["iac-ci/plan"].description
    )
    engine.clock.advance(60)
    engine.activity.comment(1, AUTHOR, "/iac-ci plan")
    # The base moves once more, and the host has the merge of before.
    engine.clock.advance(60)
    move_base(engine, 1)
    engine.clock.advance(1)
    engine.activity.comment(1, AUTHOR, "/iac-ci plan")
    assert "8 commits behind main" in comment(engine)
    whys = checkouts(engine)
    print("\n".join(f"{kind}: {why or 'the merge of the code host'}" for why in whys))
    none, stale = "the code host has no merge of the two commits", "the code host's merge is of "
    if kind == "github":
        assert whys[:2] == [none, None]
        assert whys[2].startswith(stale)
    else:
        assert whys == ([None] * 3 if kind == "gitlab" else [none] * 3)
    print(f"{kind}: 3 plans of the merged result, {sum(why is not None for why in whys)} of merges that were made here")


@pytest.mark.parametrize("kind", ["gitlab"])
def test_a_merge_that_gitlab_makes_of_an_older_target_is_noticed(engine, host):
    engine.activity.opened(1)
    engine.clock.advance(60)
    old = host.project.repository.merge(
        host.project.repository.head("main"), host.project.repository.head("change"), "refs/merge-requests/1/merge"
    )
    move_base(engine, 1)
    host.alterations.plan("/merge_ref", lambda _: {"commit_id": old}, 1)
    engine.activity.comment(1, AUTHOR, "/iac-ci plan")
    assert checkouts(engine)[-1].startswith("the code host's merge is of ")
    assert "base-0.tf" in code(engine)


def test_a_conflict_is_told_without_any_command(engine, kind):
    repository = engine.project.repository
    repository.commit("main", {"infra/head.tf": b"another\n"}, "conflict")
    engine.activity.opened(1)
    rows = engine.runs.read(engine.jobs[-1].run_id)
    assert "conflicts with the base branch" in rows.run.preparation_error
    assert "infra/head.tf" in rows.run.preparation_error
    assert {order.package_sha256 for order in rows.orders} == {None}
    engine.end(OrderState.SKIPPED)
    assert "conflicts with the base branch" in comment(engine)
    print(f"{kind}: {rows.run.preparation_error}")


def test_without_checkout_merge_the_head_is_planned_and_nothing_more_is_asked(engine, host):
    engine.project.repository.commit("main", {".iac-ci.yml": CONFIGURATION.replace(b"merge", b"head")}, "head")
    engine.activity.opened(1)
    assert code(engine) == {"main.tf", "head.tf"}
    assert "behind" not in comment(engine)
    assert not [one for one in host.recorded if "compare" in one.request.target or "merge_ref" in one.request.target]


def test_a_fork_is_merged_into_the_repository_of_the_base(engine, project, host, kind):
    if kind != "bitbucket":
        project.change(1, fork="stranger/pets")
        engine.activity.opened(1)
        head = project.repository.head("change")
        engine.activity.comment(1, AUTHOR, f"/iac-ci approve {head}")
        assert "head.tf" in code(engine)
        return
    order = None
    project.change(1, fork="stranger/pets")
    engine.activity.opened(1)
    engine.activity.comment(1, AUTHOR, f"/iac-ci approve {project.repository.head('change')}")
    order = engine.jobs[-1].job.orders[0]
    assert order.git_repo.endswith("/stranger/pets.git")
    assert order.merge_into == project.repository.head("main")


MORE = {"github": 1, "gitlab": 2, "bitbucket": 1}
"""Requests of a pull request's event that `checkout: merge` adds."""


def test_the_requests_that_the_merged_result_adds_are_exactly_budgeted(engine, host, kind):
    counts = []
    # The first status of a commit makes a pipeline on GitLab, so the second run is the first to be counted.
    for number, word in enumerate((b"head", b"head", b"merge")):
        configuration = CONFIGURATION.replace(b"merge", word)
        engine.project.repository.commit("main", {".iac-ci.yml": configuration, "other": b"%d" % number}, "another")
        before = len(host.recorded)
        engine.activity.comment(1, AUTHOR, "/iac-ci plan")
        api = [one for one in host.recorded[before:] if one.request.path.startswith(host.shape.root)]
        counts.append(len(api))
        engine.clock.advance(60)
    assert counts[2] - counts[1] == MORE[kind]
    print(f"{kind}: checkout: merge adds {MORE[kind]} requests to an event")
