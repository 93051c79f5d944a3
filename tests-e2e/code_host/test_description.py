"""Whether the provider asks what GitHub describes, and whether the code host on this machine answers so."""

from __future__ import annotations

from contextlib import suppress

import pytest
import requests

from iac_ci_common.errors import NotFound, PortFailed
from iac_ci_local.fake_hosts.activity import Activity
from iac_ci_local.fake_hosts.deliveries import Deliveries
from iac_ci_local.fake_hosts.github.shape import GitHub
from iac_ci_local.fake_hosts.messages import Answer, RecordedRequest, Request
from iac_ci_vcs.provider import Account, CommitState, CommitStatus

from .conftest import AUTHOR

ROOT = "/api/v3"
HERE = f"{ROOT}/repos/demo/pets"


def test_everything_asked_and_answered_is_as_github_describes(host, opened, project, description, waits):
    many = {f"many/{number}": b"%d" % number for number in range(150)}
    project.repository.commit("change", many, "many")
    for number in range(120):
        project.write_comment(1, AUTHOR, f"comment {number}")
    project.open_pull_request(
        title="Fork", author=AUTHOR, head_branch="change", base_branch="main", fork="stranger/pets"
    )
    github = opened()
    github.me()
    head = github.pull_request(1).head_sha
    assert github.pull_request(2).is_fork
    github.pull_request(1)
    assert len(github.changed_files(1).files) == 154
    github.file("main.tf", head)
    with pytest.raises(NotFound):
        github.file("many", head)
    github.permission(Account("7", "author"))
    github.permission(Account("1", "nobody"))
    assert github.find_comment(1, "<!-- marker") is None
    written = github.create_comment(1, "<!-- marker --> text")
    assert github.find_comment(1, "<!-- marker") is not None
    github.comment(1, github.edit_comment(1, written.id, "<!-- marker --> more").id)
    for _ in range(2):
        assert github.react(1)
        assert github.react(1, written.id)
    github.set_status(CommitStatus(head, "iac-ci", CommitState.PENDING, "x" * 140), url="https://example.com")
    github.set_status(CommitStatus(head, "iac-ci", CommitState.SUCCESS, ""))
    with pytest.raises(PortFailed):
        github.create_comment(1, "x" * 65_537)
    host.fail_next(403, {"Retry-After": "1"}, message="You have exceeded a secondary rate limit")
    github.pull_request(2)
    with suppress(PortFailed):
        opened("nobody's").me()

    assert [problem for exchange in host.recorded for problem in description.problems(exchange, ROOT)] == []
    operations = {
        found[0]["operationId"]
        for exchange in host.recorded
        if (found := description.operation(exchange.request.method, exchange.request.target.partition("?")[0][7:]))
    }
    assert operations == {
        "users/get-authenticated", "pulls/get", "pulls/list-files", "repos/get-content",
        "repos/get-collaborator-permission-level", "issues/list-comments", "issues/create-comment",
        "issues/get-comment", "issues/update-comment", "repos/create-commit-status", "reactions/create-for-issue",
        "reactions/create-for-issue-comment",
    }  # fmt: skip
    assert {exchange.answer.status for exchange in host.recorded if exchange.answer} >= {200, 201, 304, 401, 404, 422}


@pytest.mark.parametrize("path", ["/repos/demo/pets", "/users/author", "/repos/demo/pets/contents/main.tf?ref=main"])
def test_what_only_people_ask_for_is_answered_as_github_describes(host, description, path):
    requests.get(f"{host.api_url}{path}", headers={"Authorization": "Bearer engine-token"}, timeout=120)
    assert host.recorded[0].answer.status == 200
    assert description.problems(host.recorded[0], ROOT) == []


def test_webhooks_are_as_github_describes(host, project, description):
    shape = Activity(project, host.url, Deliveries("http://127.0.0.1:1/", "secret")).shape
    pull = project.pull_request(1)
    opened = shape.payload_of_pull_request("opened", pull, AUTHOR)
    pushed = {
        **shape.payload_of_pull_request("synchronize", pull, AUTHOR),
        "before": "a" * 40,
        "after": "b" * 40,
    }
    comment = shape.payload_of_comment(project.write_comment(1, AUTHOR, "/iac-ci plan"))
    for name, event, payload in (
        ("pull-request-opened", "pull_request", opened),
        ("pull-request-synchronize", "pull_request", pushed),
        ("issue-comment-created", "issue_comment", comment),
    ):
        headers = {header.lower(): value for header, value in GitHub.headers(event, "id", b"{}", "secret").items()}
        assert description.webhook_problems(name, headers, payload) == []
        assert description.webhook_problems(name, {}, {**payload, "sender": {}, "repository": {}}) != []


@pytest.mark.parametrize(
    ("method", "target", "body", "answer"),
    [
        ("GET", f"{HERE}/nothing", b"", None),
        ("DELETE", f"{HERE}/pulls/1", b"", None),
        ("GET", f"{HERE}/pulls/one", b"", None),
        ("GET", f"{HERE}/pulls/1/files?page_size=100", b"", None),
        ("GET", f"{HERE}/pulls/1/files?per_page=many", b"", None),
        ("GET", f"{HERE}/pulls/1", b"{}", None),
        ("POST", f"{HERE}/issues/1/comments", b"{}", None),
        ("POST", f"{HERE}/issues/1/comments", b'{"body": "x", "text": "x"}', None),
        ("POST", f"{HERE}/statuses/{'a' * 40}", b'{"state": "queued"}', None),
        ("GET", f"{HERE}/pulls/1", b"", Answer.of_json(200, {"number": 1})),
        ("GET", f"{HERE}/issues/1/comments", b"", Answer.of_json(200, [{"id": "1"}])),
        ("GET", f"{HERE}/pulls/1", b"", Answer.of_json(418, {"message": 1})),
        ("GET", f"{HERE}/pulls/1", b"", Answer.of_json(201, {})),
    ],
)
def test_what_goes_against_the_description_is_found(description, method, target, body, answer):
    assert description.problems(RecordedRequest(Request(method, target, {}, body), answer), ROOT) != []
