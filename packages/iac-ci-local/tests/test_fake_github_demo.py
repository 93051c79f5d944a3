"""The code host as a demonstration starts it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from iac_ci_local.fake_hosts.demo import ENGINE, PERSON, Demo
from iac_ci_vcs.git import GitRepositories
from iac_ci_vcs.hosts import open_code_host
from iac_ci_vcs.provider import TokenCredentials


@pytest.fixture
def stand(tmp_path) -> Iterator[Demo]:
    base, change = tmp_path / "base", tmp_path / "change"
    (base / "app").mkdir(parents=True)
    (base / "app/main.tf").write_text("# base\n")
    (base / "run.sh").write_text("#!/bin/sh\n")
    (base / "run.sh").chmod(0o755)
    (change / "app").mkdir(parents=True)
    (change / "app/main.tf").write_text("# head\n")
    with Demo(tmp_path / "host", base=base, change=change) as running:
        yield running


def test_the_engine_reads_and_fetches_it_with_what_it_is_told(stand, tmp_path):
    github = open_code_host(stand.host.repository, TokenCredentials(stand.token), hosts=stand.code_hosts)
    pull = github.pull_request(1)
    assert [file.path for file in github.changed_files(1).files] == ["app/main.tf"]
    assert (github.me().login, pull.author.login) == (ENGINE.login, PERSON.login)
    assert github.permission(pull.author).can_write
    folder = tmp_path / "fetched"
    GitRepositories(allow_file=True, hosts=stand.code_hosts).checkout(
        github.clone().url, pull.head_sha, str(folder), token=github.clone().git_token, ssh_key=None
    )
    github.close()
    assert (folder / "app/main.tf").read_text() == "# head\n"
    assert (folder / "run.sh").stat().st_mode & 0o111


def test_each_next_commit_is_another(stand):
    heads = {stand.project.repository.head("change")}
    for _ in range(2):
        stand.activity.push(1, stand.next_commit(1))()
        heads.add(stand.project.repository.head("change"))
    assert len(heads) == 3
    assert stand.project.repository.file("app/main.tf", "change")[0] == b"# head\n# pushed again\n# pushed again\n"
    assert [sent.answer for sent in stand.deliveries.done] == ["no webhook URL is set"] * 2


def test_its_page_is_there_and_events_go_where_it_is_told(stand):
    stand.open_pull_request("http://127.0.0.1:1/webhook")()
    assert [(sent.action, sent.answer) for sent in stand.deliveries.done] == [("opened", "no answer: URLError")]
    page = requests.get(stand.page, timeout=120)
    assert page.status_code == 200
    assert stand.token not in page.text
    assert "no answer: URLError" in page.text
