"""A repository of 300 projects on the code host: few requests decide which of them a pull request plans."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from bench import monorepo

from iac_ci_local.fake_hosts.project import Project
from iac_ci_local.fake_hosts.repository import HostedRepository

from .conftest import AUTHOR, ENGINE
from .engine import Engine


@pytest.fixture
def project(tmp_path):
    repository = HostedRepository.create(tmp_path / "bare.git")
    repository.commit("main", {".iac-ci.yml": monorepo.CONFIGURATION, **monorepo.files()}, "base")
    return Project("demo", "pets", repository, {"engine-token": ENGINE}, {"engine": "write", "author": "admin"})


def test_three_hundred_projects_are_decided_in_few_requests(project, host):
    engine = Engine(host, project, datetime.now(UTC))
    # m01 calls m00, so that the projects of two modules are concerned; one project is new and one is gone.
    new, gone = "live/dev/new", monorepo.folder_of(9)
    changes = {"modules/m00/main.tf": b"# changed\n", f"{new}/backend.tf": b""}
    changes |= {path: None for path in monorepo.files() if path.startswith(f"{gone}/")}
    project.repository.commit("change", changes, "head", start="main")
    project.open_pull_request(title="t", author=AUTHOR, head_branch="change", base_branch="main")
    engine.pull_request()
    asked = [f"{one.request.method} {one.request.target}" for one in host.recorded]
    first = next(index for index, line in enumerate(asked) if line.endswith("/comments"))
    print("\n".join(asked[: first + 1]))
    print(f"{first} requests until the first comment, {sum('.git/' in line for line in asked)} of them of git")
    assert any(".git/" in line for line in asked)
    assert first <= 20
    planned = {order.git_folder for order in engine.jobs[0].job.orders}
    called = {monorepo.folder_of(number) for number in range(monorepo.PROJECTS) if number % monorepo.MODULES in {0, 1}}
    assert planned == called | {new}
    assert gone not in planned
