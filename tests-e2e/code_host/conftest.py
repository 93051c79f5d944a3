"""Code hosts that behave like GitHub, GitLab and Bitbucket, and the engine's own providers that speak to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iac_ci_local.fake_hosts.bitbucket.payloads import uuid_of
from iac_ci_local.fake_hosts.demo import SHAPES
from iac_ci_local.fake_hosts.project import Person, Project
from iac_ci_local.fake_hosts.repository import HostedRepository
from iac_ci_local.fake_hosts.server import CodeHostServer
from iac_ci_vcs import gitlab, http_session
from iac_ci_vcs.hosts import open_code_host
from iac_ci_vcs.provider import Account, CodeHost, HostSettings, TokenCredentials

from .description import Description, Unreachable, fetch

HERE = Path(__file__).parent
CONTRACTS = ("test_contract", "test_merging", "test_reviews", "test_three_hosts")
"""The modules that `.ci/run` plays on every code host."""

ENGINE = Person(8, "engine")
AUTHOR = Person(7, "author")
STRANGER = Person(9, "stranger")


@pytest.hookimpl(tryfirst=True)  # before what is only for `.ci/full` is left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave a test of the engine on another host to `.ci/full`, where `.ci/run` plays the same one on GitHub."""
    played = {_without_its_host(item) for item in items if _host_of(item) == "github"}
    for item in items:
        if _host_of(item) not in ("", "github") and _without_its_host(item) in played:
            item.add_marker(pytest.mark.full)


def _host_of(item: pytest.Item) -> str:
    """Return the code host of a test of the engine; empty for any other test."""
    if item.path.parent != HERE or item.path.stem in CONTRACTS or not hasattr(item, "callspec"):
        return ""
    return str(item.callspec.params.get("kind", ""))


def _without_its_host(item: pytest.Item) -> tuple[object, ...]:
    others = item.callspec.params.items() if hasattr(item, "callspec") else ()
    return (item.nodeid.partition("[")[0], *((name, repr(value)) for name, value in others if name != "kind"))


@pytest.fixture
def project(tmp_path) -> Project:
    """A project with one pull request that changes, adds, removes and renames."""
    repository = HostedRepository.create(tmp_path / "bare.git")
    long = b"".join(b"line %d\n" % number for number in range(20))
    repository.commit("main", {"main.tf": b"# base\n", "old.tf": b"gone\n", "a name.tf": long}, "base")
    changes = {"main.tf": b"# head\n", "old.tf": None, "a name.tf": None, "b/näme.tf": long, "new.tf": b"1\n"}
    repository.commit("change", changes, "head", start="main")
    tokens = {"engine-token": ENGINE, "author-token": AUTHOR, "stranger-token": STRANGER}
    project = Project("demo", "pets", repository, tokens, {"engine": "write", "author": "admin", "stranger": "none"})
    project.open_pull_request(title="A change", author=AUTHOR, head_branch="change", base_branch="main")
    return project


@pytest.fixture
def kind() -> str:
    """The host that the server behaves like; a test chooses another one by parametrization."""
    return "github"


@pytest.fixture
def host(project, kind) -> Iterator[CodeHostServer]:
    with CodeHostServer(project, shape=SHAPES[kind]) as running:
        yield running


@pytest.fixture
def account(kind) -> Callable[[Person], Account]:
    """Returns a person's account as the engine knows it."""

    def known(person: Person) -> Account:
        return Account(uuid_of(person.id) if kind == "bitbucket" else str(person.id), person.login)

    return known


@pytest.fixture
def opened(host) -> Iterator[Callable[..., CodeHost]]:
    """Opens the project with somebody's token, as the engine does."""
    made = []

    def make(token: str = "engine-token", *, seconds: float = 300) -> CodeHost:
        hosts = {host.address: HostSettings(host.shape.kind, host.api_url)}
        made.append(open_code_host(host.repository, TokenCredentials(token), hosts=hosts, seconds=seconds))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """How long the provider wanted to wait; it never does."""
    asked: list[float] = []
    for module in (http_session, gitlab):
        monkeypatch.setattr(module, "pause", asked.append)
    return asked


@pytest.fixture(scope="session")
def description(tmp_path_factory) -> Description:
    """GitHub's own description of its API and webhooks."""
    try:
        return Description(fetch(tmp_path_factory.mktemp("description")))
    except Unreachable as reason:
        pytest.skip(f"GitHub's description was not checked: {reason}")
