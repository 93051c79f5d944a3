"""Links to pages of runs: only in comments and statuses of repositories that the host calls private or internal."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from iac_ci_local.fake_hosts.project import Project
from iac_ci_local.fake_hosts.repository import HostedRepository

from .conftest import AUTHOR, ENGINE, STRANGER
from .engine import Engine

CONFIGURATION = b"""
version: 1
jobs:
  plan:
    on: {pull_request: {paths: ["infra/**"]}}
    orders:
      - {name: dns, folder: infra, cmds: [terraform plan]}
"""
WITH_LINK = {"private": True, "internal": True, "public": False, "": False}
"""Whether reports have a link, by what the host says; empty is nothing."""


@pytest.fixture
def project(tmp_path):
    """A project with a configuration and no pull request."""
    repository = HostedRepository.create(tmp_path / "bare.git")
    repository.commit("main", {".iac-ci.yml": CONFIGURATION, "infra/main.tf": b"1\n"}, "base")
    tokens = {"engine-token": ENGINE, "author-token": AUTHOR, "stranger-token": STRANGER}
    return Project("demo", "pets", repository, tokens, {"engine": "write", "author": "admin", "stranger": "none"})


@pytest.mark.parametrize("visibility", WITH_LINK)
def test_only_reports_of_private_repositories_carry_a_link(host, project, visibility):
    project.visibility = visibility
    engine = Engine(host, project, datetime.now(UTC), link_generation=3)
    project.repository.commit("change", {"infra/main.tf": b"2\n"}, "head", start="main")
    project.open_pull_request(title="t", author=AUTHOR, head_branch="change", base_branch="main")
    engine.pull_request()
    (job,) = engine.jobs
    assert job.link_generation == (3 if WITH_LINK[visibility] else None)
    reports = []
    for _ in range(2):
        statuses = project.statuses(project.repository.head("change"))
        reports += [one.target_url for one in statuses if one.context.startswith("iac-ci/plan")]
        reports += [one.body for one in project.comments(1) if one.author == ENGINE]
        engine.end()
    assert len(reports) >= 4
    link = f"https://ci.example/live/runs/{job.run_id}/open?key="
    for text in reports:
        assert (link in (text or "")) is WITH_LINK[visibility]
        assert WITH_LINK[visibility] or "key=" not in (text or "")
    print(f"{visibility or 'not told'}: {len(reports)} reports, link: {WITH_LINK[visibility]}")


@pytest.mark.parametrize("kind", ["github", "gitlab", "bitbucket"])
@pytest.mark.parametrize("visibility", WITH_LINK)
def test_each_host_says_whether_a_repository_is_private(host, project, opened, visibility):
    project.visibility = visibility
    provider = opened()
    known = {"private": True, "internal": True, "public": False, "": None}
    assert provider.is_private() is known[visibility]
    asked = len(host.recorded)
    provider.default_branch()
    provider.is_private()
    assert len(host.recorded) - asked == 0, "one request tells both"
