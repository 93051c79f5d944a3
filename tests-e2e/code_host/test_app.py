"""A GitHub app in place of a personal token: minted when needed, again when it ends, and never the key itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from iac_ci_common.errors import PortFailed
from iac_ci_local.fake_hosts.installed_app import InstalledApp
from iac_ci_vcs.git import GitRepositories
from iac_ci_vcs.hosts import open_code_host
from iac_ci_vcs.provider import AppCredentials, CommitState, CommitStatus, HostSettings

ROOT = "/api/v3"


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(65_537, 2048)


@pytest.fixture
def app(project, key) -> InstalledApp:
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    project.app = InstalledApp(12, "iac-ci", public.decode())
    project.rights["iac-ci[bot]"] = "write"
    return project.app


@pytest.fixture
def github(host, app, key):
    credentials = AppCredentials(str(app.id), pem(key))
    made = open_code_host(
        host.repository, credentials, hosts={host.address: HostSettings("github", host.api_url)}, seconds=300
    )
    yield made
    made.close()


def asked(host, ending):
    return [exchange for exchange in host.recorded if exchange.request.target.endswith(ending)]


def test_a_token_is_minted_once_and_speaks_as_the_app(host, github, project):
    written = github.create_comment(1, "<!-- marker -->")
    assert github.me() == written.author
    assert written.author.login == "iac-ci[bot]"
    assert github.find_comment(1, "<!-- marker -->") == written
    github.set_status(CommitStatus(project.repository.head("change"), "iac-ci", CommitState.SUCCESS, ""))
    assert len(asked(host, "/access_tokens")) == 1


def test_a_token_that_was_taken_back_is_minted_again(host, github, app):
    github.pull_request(1)
    app.revoke()
    assert github.changed_files(1).complete
    assert len(asked(host, "/access_tokens")) == 2


def test_a_token_that_ended_opens_nothing(app):
    token, ends = app.mint()
    assert app.knows(token)
    app.now = lambda: ends
    assert not app.knows(token)
    assert ends - datetime.now(UTC) <= timedelta(hours=1)


def test_git_fetches_with_a_minted_token(host, github, project, tmp_path):
    repositories = GitRepositories(allow_file=True, hosts={host.address: HostSettings("github", host.api_url)})
    clone = github.clone()
    head = project.repository.head("change")
    repositories.checkout(clone.url, head, str(tmp_path / "out"), token=clone.git_token, ssh_key=None)
    assert (tmp_path / "out/main.tf").read_text() == "# head\n"


@pytest.mark.parametrize("wrong", ["key", "app"])
def test_another_key_or_app_is_refused(host, app, key, wrong):
    other = rsa.generate_private_key(65_537, 2048)
    credentials = AppCredentials("13" if wrong == "app" else "12", pem(other if wrong == "key" else key))
    hosts = {host.address: HostSettings("github", host.api_url)}
    with pytest.raises(PortFailed) as refused:
        open_code_host(host.repository, credentials, hosts=hosts, seconds=300).pull_request(1)
    assert "could not be decoded" in refused.value.message


def test_what_an_app_asks_is_as_github_describes(host, github, description):
    github.me()
    github.pull_request(1)
    assert [problem for exchange in host.recorded for problem in description.problems(exchange, ROOT)] == []
    assert len(asked(host, "/app")) == len(asked(host, "/installation")) == len(asked(host, "/access_tokens")) == 1
