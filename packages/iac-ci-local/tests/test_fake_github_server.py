"""The local code host over its sockets: what GitHub's API and git say to it, and what goes wrong on purpose."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator

import pytest
import requests

from iac_ci_local.fake_hosts.project import Person, Project
from iac_ci_local.fake_hosts.repository import HostedRepository, git_environment
from iac_ci_local.fake_hosts.server import CodeHostServer

AUTHOR = Person(7, "author")
ENGINE = Person(8, "engine")
SECONDS = 120


@pytest.fixture
def host(tmp_path) -> Iterator[CodeHostServer]:
    repository = HostedRepository.create(tmp_path / "bare.git")
    repository.commit("main", {"main.tf": b"# base\n"}, "base")
    repository.commit("change", {"main.tf": b"# head\n"}, "head", start="main")
    project = Project(
        "demo",
        "pets",
        repository,
        {"engine-token": ENGINE, "author-token": AUTHOR},
        {"engine": "write", "author": "read"},
    )
    project.open_pull_request(title="A change", author=AUTHOR, head_branch="change", base_branch="main")
    with CodeHostServer(project) as running:
        yield running


def ask(host, method, path, *, token="engine-token", **given):
    headers = {"Authorization": f"Bearer {token}", **given.pop("headers", {})}
    return requests.request(method, f"{host.api_url}{path}", headers=headers, timeout=SECONDS, **given)


def clone(host, folder, token):
    credentials = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    environment = {
        **git_environment(),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{host.url}/.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {credentials}",
    }
    return subprocess.run(
        ["git", "clone", "--quiet", "--branch=change", f"{host.url}/demo/pets.git", str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def test_git_clones_with_the_token_and_without_it_nothing(host, tmp_path):
    assert clone(host, tmp_path / "refused", "another").returncode != 0
    done = clone(host, tmp_path / "out", "engine-token")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out/main.tf").read_text() == "# head\n"


def test_git_may_not_push(host, tmp_path):
    clone(host, tmp_path / "out", "engine-token")
    refused = requests.get(
        f"{host.url}/demo/pets.git/info/refs?service=git-receive-pack", auth=("x", "engine-token"), timeout=SECONDS
    )
    assert refused.status_code == 403


@pytest.mark.parametrize("given", [None, "Bearer another", "Bearer ENGINE-TOKEN", "Bearer ", "Basic engine-token"])
def test_a_token_that_nobody_has_is_refused(host, given):
    headers = {} if given is None else {"Authorization": given}
    refused = requests.get(f"{host.api_url}/user", headers=headers, timeout=SECONDS)
    assert (refused.status_code, refused.json()["message"]) == (401, "Bad credentials")


def test_what_is_remembered_holds_no_token(host):
    ask(host, "GET", "/user")
    assert [exchange.request.target for exchange in host.recorded] == ["/api/v3/user"]
    assert "engine-token" not in repr(host.recorded)


@pytest.mark.parametrize(
    "path", ["/nothing", "/repos/demo/other", "/repos/demo/pets/pulls/2", "/repos/demo/pets/contents/no", "/users/no"]
)
def test_what_there_is_not_is_told_in_githubs_shape(host, path):
    answer = ask(host, "GET", path)
    assert answer.status_code == 404
    assert answer.json()["message"] == "Not Found"


def test_what_is_unchanged_is_not_sent_again(host):
    # The answer changes with time: when the test merge is made.
    moment = host.project.now()
    host.project.now = lambda: moment
    first = ask(host, "GET", "/repos/demo/pets/pulls/1")
    unchanged = {"If-None-Match": first.headers["ETag"]}
    again = ask(host, "GET", "/repos/demo/pets/pulls/1", headers=unchanged)
    assert (again.status_code, again.content) == (304, b"")
    host.project.repository.commit("change", {"more.tf": b"1\n"}, "more")
    changed = ask(host, "GET", "/repos/demo/pets/pulls/1", headers=unchanged)
    assert (changed.status_code, changed.json()["changed_files"]) == (200, 2)


def test_pages_are_linked_as_github_does(host):
    for number in range(5):
        host.project.write_comment(1, AUTHOR, f"comment {number}")
    answer = ask(host, "GET", "/repos/demo/pets/issues/1/comments?per_page=2&page=2")
    place = f"{host.api_url}/repos/demo/pets/issues/1/comments?per_page=2&page="
    assert {name: link["url"] for name, link in answer.links.items()} == {
        "prev": f"{place}1", "next": f"{place}3", "last": f"{place}3", "first": f"{place}1"
    }  # fmt: skip
    assert [said["body"] for said in answer.json()] == ["comment 2", "comment 3"]
    assert ask(host, "GET", "/repos/demo/pets/issues/1/comments").links == {}


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("POST", "/repos/demo/pets/issues/1/comments", {"body": "x" * 65_536}, 201),
        ("POST", "/repos/demo/pets/issues/1/comments", {"body": "x" * 65_537}, 422),
        ("POST", "/repos/demo/pets/issues/1/comments", {"body": " "}, 422),
        ("POST", "/repos/demo/pets/issues/1/comments", ["body"], 400),
        ("POST", f"/repos/demo/pets/statuses/{'a' * 40}", {"state": "success"}, 422),
        ("POST", "/repos/demo/pets/issues/9/comments", {"body": "x"}, 404),
    ],
)
def test_what_is_written_is_held_to_githubs_limits(host, method, path, sent, status):
    assert ask(host, method, path, json=sent).status_code == status


def test_a_status_is_set_by_those_who_may_write_and_the_later_counts(host):
    place = f"/repos/demo/pets/statuses/{host.project.repository.head('change')}"
    assert ask(host, "POST", place, json={"state": "odd"}).status_code == 422
    assert ask(host, "POST", place, json={"state": "pending", "description": "x" * 141}).status_code == 422
    assert ask(host, "POST", place, json={"state": "pending"}, token="author-token").status_code == 404
    for state in ("pending", "success"):
        assert ask(host, "POST", place, json={"state": state, "context": "plan"}).status_code == 201
    told = host.project.statuses(host.project.repository.head("change"))
    assert [(status.context, status.state) for status in told] == [("plan", "success")]


def test_a_comment_of_somebody_elses_is_edited_by_writers_only(host):
    written = host.project.write_comment(1, ENGINE, "mine")
    place = f"/repos/demo/pets/issues/comments/{written.id}"
    assert ask(host, "PATCH", place, json={"body": "theirs"}, token="author-token").status_code == 403
    edited = ask(host, "PATCH", place, json={"body": "better"}).json()
    assert edited["body"] == "better"
    assert edited["updated_at"] > edited["created_at"]


def test_failures_come_in_order_and_end(host):
    host.fail_next(403, {"X-RateLimit-Remaining": "0"}, times=2)
    host.cut_next()
    assert [ask(host, "GET", "/user").status_code for _ in range(2)] == [403, 403]
    with pytest.raises(requests.RequestException):
        ask(host, "GET", "/user")
    assert ask(host, "GET", "/user").json()["login"] == "engine"


def test_a_request_that_is_held_is_answered_when_it_is_let_go(host):
    release = host.hold_next()
    with pytest.raises(requests.Timeout):
        requests.get(f"{host.api_url}/user", timeout=0.2)
    release.set()
    assert ask(host, "GET", "/user").status_code == 200


def test_another_name_that_leads_here_is_refused(host):
    assert requests.get(host.url, headers={"Host": "evil.example"}, timeout=SECONDS).status_code == 421
