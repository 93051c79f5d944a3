"""GitHub as the engine asks it: pull requests, files, rights, and the tokens of an app."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
import responses
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from responses.matchers import query_param_matcher

from iac_ci_common.errors import NotFound, PortFailed
from iac_ci_vcs.hosts import open_code_host, parse_credentials
from iac_ci_vcs.module_tokens import app_token, stored_token
from iac_ci_vcs.provider import Account, ChangeKind, Permission, TokenCredentials

API = "https://api.github.com"
HERE = f"{API}/repos/acme/infra"


@pytest.fixture
def wire(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        yield wire


@pytest.fixture
def github():
    return open_code_host("https://github.com/acme/infra.git", TokenCredentials("t0ken"))


def pull(repository=1, changed=0):
    repositories = {1: "acme/infra", 2: "mallory/infra"}
    head = {"id": repository, "full_name": repositories[repository]} if repository else None
    return {
        "title": "t", "user": {"id": 3, "login": "ann"}, "state": "open", "html_url": "https://github.com/acme/infra/pull/7",
        "head": {"sha": "a" * 40, "ref": "$(touch x)", "repo": head}, "changed_files": changed,
        "base": {"sha": "b" * 40, "ref": "main", "repo": {"id": 1, "full_name": "acme/infra"}},
    }  # fmt: skip


@pytest.mark.parametrize(("repository", "is_fork"), [(1, False), (2, True), (None, True)])
def test_a_fork_is_known(wire, github, repository, is_fork):
    wire.get(f"{HERE}/pulls/7", json=pull(repository))
    found = github.pull_request(7)
    assert (found.is_fork, found.head_sha, found.base_branch, found.is_open) == (is_fork, "a" * 40, "main", True)


@pytest.mark.parametrize(
    ("host", "api"),
    [("acme.ghe.com", "https://api.acme.ghe.com"), ("git.example.com", "https://git.example.com/api/v3")],
)
def test_the_api_follows_from_the_hosts_name(wire, host, api):
    """Hosts of GitHub Enterprise Cloud with data residency have an API as github.com has."""
    wire.get(f"{api}/repos/acme/infra/pulls/7", json=pull())
    assert open_code_host(f"https://{host}/acme/infra", TokenCredentials("t0ken")).pull_request(7).is_open


def test_a_repository_that_was_renamed_is_written_to_at_its_new_address(wire, github):
    comment = {
        "id": 1, "user": {"id": 3, "login": "ann"}, "body": "b",
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    new = f"{API}/repositories/17/issues/7/comments"
    wire.post(f"{HERE}/issues/7/comments", status=307, headers={"Location": new}, json={"message": "Moved"})
    wire.post(new, json=comment, status=201)
    assert github.create_comment(7, "b").id == "1"
    assert json.loads(wire.calls[1].request.body) == {"body": "b"}
    assert wire.calls[1].request.headers["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize("location", ["https://evil.example/x", f"{API}.evil.example/x", "", "/repositories/17"])
def test_a_write_is_redirected_nowhere_else(wire, github, location):
    wire.post(f"{HERE}/issues/7/comments", status=307, headers={"Location": location}, json={"message": "Moved"})
    with pytest.raises(PortFailed, match="HTTP 307"):
        github.create_comment(7, "b")
    assert len(wire.calls) == 1


def test_three_thousand_changed_files_cost_thirty_one_requests(wire, github):
    wire.get(f"{HERE}/pulls/7", json=pull(changed=3000))
    place = f"{HERE}/pulls/7/files"
    for page in range(1, 31):
        files = [{"filename": f"modules/{page}/{number}.tf", "status": "modified"} for number in range(100)]
        asked = {"per_page": "100"} | ({"page": str(page)} if page > 1 else {})
        link = {"Link": f'<{place}?per_page=100&page={page + 1}>; rel="next"'} if page < 30 else {}
        wire.get(place, json=files, headers=link, match=[query_param_matcher(asked)])
    found = github.changed_files(7)
    assert (len(found.files), found.complete) == (3000, True)
    assert len(wire.calls) == 31


def test_a_rename_counts_by_both_names_and_missing_files_are_told(wire, github):
    wire.get(f"{HERE}/pulls/7", json=pull(changed=5000))
    renamed = {"filename": "b", "previous_filename": "a", "status": "renamed"}
    wire.get(f"{HERE}/pulls/7/files", json=[renamed])
    found = github.changed_files(7)
    assert [(one.kind, one.paths) for one in found.files] == [(ChangeKind.RENAMED, ("b", "a"))]
    assert not found.complete


@pytest.mark.parametrize(
    ("answer", "permission"),
    [
        ({"json": {"permission": "admin", "user": {"id": 3}}}, Permission.ADMIN),
        ({"json": {"permission": "write", "user": {"id": 3}}}, Permission.WRITE),
        ({"json": {"permission": "read", "user": {"id": 3}}}, Permission.READ),
        ({"json": {"permission": "admin", "user": {"id": 4}}}, Permission.NONE),
        ({"json": {"message": "Not Found"}, "status": 404}, Permission.NONE),
    ],
)
def test_what_a_user_may_do_is_asked_by_name_and_checked_by_number(wire, github, answer, permission):
    wire.get(f"{HERE}/collaborators/ann/permission", **answer)
    assert github.permission(Account("3", "ann")) is permission


def test_a_file_is_read_and_a_folder_is_none(wire, github):
    wire.get(f"{HERE}/contents/.iac-ci.yml", body=b"jobs: {}", content_type="application/vnd.github.raw")
    wire.get(f"{HERE}/contents/modules", json=[])
    assert github.file(".iac-ci.yml", "main") == b"jobs: {}"
    with pytest.raises(PortFailed):
        github.file(".iac-ci.yml", "main", max_bytes=3)
    for path in ("modules", "../other", "a//b", ""):
        with pytest.raises(NotFound):
            github.file(path, "main")


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def app(key):
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    credentials = parse_credentials(json.dumps({"app_id": 12, "private_key": pem}))
    return open_code_host("https://github.com/acme/infra", credentials)


def minted(wire, token, minutes):
    expires = (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
    wire.post(f"{API}/app/installations/5/access_tokens", json={"token": token, "expires_at": expires}, status=201)


def test_an_apps_token_is_minted_for_one_repository_and_used_until_it_is_old(wire, app, key):
    wire.get(f"{HERE}/installation", json={"id": 5})
    wire.get(f"{HERE}/pulls/7", json=pull())
    minted(wire, "first", 60)
    app.pull_request(7)
    app.pull_request(7)
    mints = [call for call in wire.calls if call.request.url.endswith("/access_tokens")]
    assert len(mints) == 1
    assert json.loads(mints[0].request.body) == {"repositories": ["infra"]}
    assertion = mints[0].request.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(assertion, key.public_key(), algorithms=["RS256"])
    assert claims["iss"] == "12"
    assert claims["exp"] - claims["iat"] <= 600
    assert wire.calls[-1].request.headers["Authorization"] == "Bearer first"


NEWEST = datetime(2026, 1, 1, 12, tzinfo=UTC)


def logged(number, minutes, *, guid=None, status=503):
    at = (NEWEST - timedelta(minutes=minutes)).isoformat()
    return {"id": number, "guid": guid or f"guid-{number}", "status_code": status, "delivered_at": at}


def log_page(wire, cursor, entries, following=None):
    """Answer for one page of an app's log, which names the cursor of the next one in a link."""
    address = f"https://elsewhere.example/app/hook/deliveries?per_page=100&cursor={following}"
    query = {"per_page": "100"} | ({"cursor": cursor} if cursor else {})
    wire.get(
        f"{API}/app/hook/deliveries",
        json=entries,
        headers={"Link": f'<{address}>; rel="next"'} if following else {},
        match=[query_param_matcher(query)],
    )


@pytest.mark.parametrize(
    ("pages", "minutes", "found", "requests"),
    [
        (1, 120, ["guid-9"], 1),
        (2, 120, ["guid-9", "guid-6"], 2),
        (5, 120, ["guid-9", "guid-6", "guid-4"], 3),
        (5, 40, ["guid-9", "guid-6", "guid-4"], 3),
        (5, 25, ["guid-9", "guid-6"], 2),
        (5, 5, ["guid-9"], 1),
    ],
)
def test_the_log_of_webhooks_is_read_up_to_a_moment(wire, app, pages, minutes, found, requests):
    log_page(wire, None, [logged(9, 1), logged(8, 10, guid="guid-5", status=200)], "second")
    log_page(wire, "second", [logged(6, 20), logged(5, 30)], "third")
    log_page(wire, "third", [logged(4, 40), logged(3, 90, status=202)])
    log = app.failed_deliveries(NEWEST - timedelta(minutes=minutes), pages=pages)
    assert [failed.guid for failed in log.found] == found
    assert log.requests == len(wire.calls) == requests
    assert {call.request.url.partition("?")[0] for call in wire.calls} == {f"{API}/app/hook/deliveries"}


@pytest.mark.parametrize("answer", [{"status": 502}, {"status": 403, "json": {}}, {"body": "<html>"}])
def test_what_the_first_pages_of_the_log_tell_waits_for_no_later_one(wire, app, answer):
    log_page(wire, None, [logged(9, 1)], "second")
    query = {"per_page": "100", "cursor": "second"}
    wire.get(f"{API}/app/hook/deliveries", match=[query_param_matcher(query)], **answer)
    log = app.failed_deliveries(NEWEST - timedelta(minutes=120), pages=5)
    assert ([failed.guid for failed in log.found], log.requests) == (["guid-9"], 2)


def test_a_log_whose_first_page_cannot_be_read_is_a_failure(wire, app):
    wire.get(f"{API}/app/hook/deliveries", status=404, json={})
    with pytest.raises(PortFailed):
        app.failed_deliveries(NEWEST, pages=5)


def app_secret(key):
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return json.dumps({"app_id": 12, "private_key": pem})


def test_an_apps_token_for_modules_reads_the_contents_of_the_listed_repositories_only(wire, key):
    wire.get(f"{API}/repos/acme/modules/installation", json={"id": 5})
    minted(wire, "reads", 60)
    listed = ["https://github.com/acme/modules", "https://github.com/acme/network"]
    made = app_token(listed, app_secret(key), seconds=8)
    assert (made.username, made.token) == ("x-access-token", "reads")
    assert made.expires_at > datetime.now(UTC) + timedelta(minutes=50)
    assert json.loads(wire.calls[-1].request.body) == {
        "repositories": ["modules", "network"], "permissions": {"contents": "read"},
    }  # fmt: skip


def test_no_token_for_modules_is_made_from_one_that_is_no_apps():
    with pytest.raises(PortFailed, match="modules_token_location") as raised:
        app_token(["https://github.com/acme/modules"], "planted-token-of-the-engine", seconds=8)
    assert "planted" not in str(raised.value)


@pytest.mark.parametrize(
    ("repository", "username"),
    [
        ("https://github.com/acme/modules", "x-access-token"),
        ("https://gitlab.com/acme/modules", "oauth2"),
        ("https://bitbucket.org/acme/modules", "x-token-auth"),
    ],
)
def test_a_stored_token_for_modules_has_the_user_that_its_host_wants(repository, username):
    made = stored_token(repository, "planted-read-token")
    assert (made.username, made.token, made.expires_at) == (username, "planted-read-token", None)
    assert "planted" not in repr(made)


def test_the_key_of_an_app_is_no_stored_token(key):
    with pytest.raises(PortFailed, match="key of a GitHub app"):
        stored_token("https://github.com/acme/modules", app_secret(key))


def test_a_token_that_is_nearly_over_is_minted_again(wire, app):
    wire.get(f"{HERE}/installation", json={"id": 5})
    wire.get(f"{HERE}/pulls/7", json=pull())
    minted(wire, "old", 1)
    minted(wire, "new", 60)
    app.pull_request(7)
    app.pull_request(7)
    used = [call.request.headers["Authorization"] for call in wire.calls if call.request.url.endswith("/pulls/7")]
    assert used == ["Bearer old", "Bearer new"]


def test_a_key_that_is_none_is_refused_and_not_repeated(wire):
    credentials = parse_credentials(json.dumps({"app_id": 12, "private_key": "s3cret-nonsense"}))
    with pytest.raises(PortFailed) as raised:
        open_code_host("https://github.com/acme/infra", credentials).pull_request(7)
    assert "s3cret-nonsense" not in str(raised.value)


@pytest.mark.parametrize("secret", ["", "  ", "to\nken", "{", '{"app_id": 1}'])
def test_credentials_that_are_none_are_refused(secret):
    with pytest.raises(PortFailed):
        parse_credentials(secret)


@pytest.mark.parametrize(
    ("membership", "team", "expected"),
    [
        ({"json": {"state": "active"}}, {"json": {"id": 1}}, True),
        ({"json": {"state": "pending"}}, {"json": {"id": 1}}, False),
        ({"status": 404, "json": {}}, {"json": {"id": 1}}, False),
        ({"status": 404, "json": {}}, {"status": 404, "json": {}}, None),
        ({"status": 403, "json": {}}, {"status": 403, "json": {}}, None),
    ],
)
def test_a_team_is_asked_for_its_member(wire, github, membership, team, expected):
    wire.get(f"{API}/orgs/acme/teams/platform/memberships/ann", **membership)
    wire.get(f"{API}/orgs/acme/teams/platform", **team)
    assert github.reviews().is_member("acme/platform", Account("3", "ann")) is expected
    assert github.reviews().is_member("acme", Account("3", "ann")) is False
