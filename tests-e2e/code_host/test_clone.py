"""Git over http to a code host on this machine: on the local cloud only, and to nowhere else."""

from __future__ import annotations

import pytest

from iac_ci_common.errors import IacCiError, PreparationFailed
from iac_ci_vcs.git import GitRepositories
from iac_ci_vcs.provider import HostSettings


def hosts(host, api_url=None):
    return {host.address: HostSettings("github", api_url or host.api_url)}


@pytest.mark.parametrize("suffix", ["", ".git"])
def test_the_local_cloud_fetches_a_commit_with_the_token(host, project, tmp_path, suffix):
    repositories = GitRepositories(allow_file=True, hosts=hosts(host))
    head = project.repository.head("change")
    folder = tmp_path / "out"
    repositories.checkout(f"{host.repository}{suffix}", head, str(folder), token="engine-token", ssh_key=None)
    assert (folder / "main.tf").read_text() == "# head\n"
    assert {exchange.request.target.partition("/pets")[2].partition("/")[0] for exchange in host.recorded} == {suffix}


def test_a_wrong_token_fetches_nothing_and_is_not_shown(host, project, tmp_path):
    repositories = GitRepositories(allow_file=True, hosts=hosts(host))
    with pytest.raises(PreparationFailed) as refused:
        repositories.checkout(
            host.repository, project.repository.head("change"), str(tmp_path / "out"), token="planted", ssh_key=None
        )
    assert "planted" not in str(refused.value)
    assert {exchange.answer.status for exchange in host.recorded} == {401}


@pytest.mark.parametrize("case", ["deployed", "not configured", "an https API", "another host's API", "by name"])
def test_nobody_else_speaks_http(host, project, tmp_path, case):
    known = {
        "deployed": hosts(host),
        "not configured": None,
        "an https API": hosts(host, host.api_url.replace("http:", "https:")),
        "another host's API": hosts(host, "http://127.0.0.1/api/v3"),
        "by name": {host.address.replace("127.0.0.1", "localhost"): HostSettings("github", host.api_url)},
    }[case]
    repositories = GitRepositories(allow_file=case != "deployed", hosts=known)
    address = host.repository.replace("127.0.0.1", "localhost") if case == "by name" else host.repository
    with pytest.raises(IacCiError):
        repositories.checkout(
            address, project.repository.head("change"), str(tmp_path / "out"), token="engine-token", ssh_key=None
        )
    assert host.recorded == []


def test_an_address_that_says_http_is_refused_even_there(host, project, tmp_path):
    repositories = GitRepositories(allow_file=True, hosts=hosts(host))
    with pytest.raises(PreparationFailed):
        repositories.checkout(
            f"{host.url}/demo/pets.git",
            project.repository.head("change"),
            str(tmp_path / "out"),
            token=None,
            ssh_key=None,
        )
    assert host.recorded == []
