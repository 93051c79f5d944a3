"""What GitHub is asked for, and what its refusals become. Only the wire is not real."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import requests
import responses
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from iac_ci_common import keys
from iac_ci_common.errors import PortFailed, Throttled
from iac_ci_common.models.rows import ReportTarget
from iac_ci_common.models.saved_plan import PlannedFile, PlanRecord, SavedPlan
from iac_ci_common.models.sealed import Sealed
from iac_ci_common.states import RunState
from iac_ci_common.testing import FakeClock, MemoryCommitJobs, MemorySecrets, Observed
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_vcs.http_session import HostSession
from iac_ci_vcs.provider import CommitState, CommitStatus
from iac_ci_vcs.reporting import marker
from iac_ci_vcs.reporting.publish import publish
from iac_ci_vcs.reporting.stale_plan import stale_name
from iac_ci_vcs.reports import CodeHostReports

API = "https://api.github.com"
REPOSITORY = f"{API}/repos/acme/infra"
COMMENTS = f"{REPOSITORY}/issues/7/comments"
TARGET = ReportTarget(repository="https://github.com/acme/infra.git", number=7, token_location="ssm:/token")
STATUS = CommitStatus("a" * 40, "iac-ci/plan", CommitState.SUCCESS, "2 succeeded")
CLOCK = FakeClock(START)
BODY = f"{marker(RUN_ID)}\nhello"


@pytest.fixture
def reports():
    return CodeHostReports(MemorySecrets({"ssm:/token": "t0ken-value"}), MemoryCommitJobs(CLOCK), CLOCK)


@pytest.fixture
def wire(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        wire.get(f"{API}/user", json={"login": "engine", "id": 6})
        yield wire


@pytest.fixture(scope="module")
def app_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def comment(number: int, body: str, login: str = "engine") -> dict[str, object]:
    url = f"{REPOSITORY}/issues/comments/{number}"
    moment = "2026-01-01T00:00:00Z"
    user = {"login": login, "id": len(login)}
    return {"id": number, "body": body, "user": user, "url": url, "created_at": moment, "updated_at": moment}


def asked(wire) -> list[str]:
    return [f"{call.request.method} {call.request.url.removeprefix(API)}" for call in wire.calls]


def test_the_first_comment_is_created(reports, wire):
    wire.get(COMMENTS, json=[comment(1, "something else"), comment(2, marker("20200101T000000-000000000000"))])
    wire.post(COMMENTS, json=comment(3, BODY), status=201)
    reports.publish(TARGET, run_id=RUN_ID, write=lambda style: BODY)
    assert asked(wire)[-1] == "POST /repos/acme/infra/issues/7/comments"
    assert json.loads(wire.calls[-1].request.body) == {"body": BODY}


def test_our_own_comment_is_edited_and_nobody_elses(reports, wire):
    copied, ours = comment(1, f"{marker(RUN_ID)} stolen", "mallory"), comment(2, f"{marker(RUN_ID)} old")
    wire.get(COMMENTS, json=[copied, comment(9, f"> {marker(RUN_ID)}"), ours])
    wire.patch(f"{REPOSITORY}/issues/comments/2", json=comment(2, BODY))
    reports.publish(TARGET, run_id=RUN_ID, write=lambda style: BODY)
    assert [request for request in asked(wire) if not request.startswith("GET")] == [
        "PATCH /repos/acme/infra/issues/comments/2"
    ]


def test_a_comment_that_says_so_already_is_left_alone(reports, wire):
    wire.get(COMMENTS, json=[comment(2, BODY)])
    reports.publish(TARGET, run_id=RUN_ID, write=lambda style: BODY)
    assert all(request.startswith("GET") for request in asked(wire))


def test_a_comment_whose_id_is_known_is_edited_by_one_request(reports, wire):
    wire.patch(f"{REPOSITORY}/issues/comments/2", json=comment(2, BODY))
    assert reports.publish(TARGET, run_id=RUN_ID, write=lambda style: BODY, comment_id="2") == "2"
    assert asked(wire) == ["PATCH /repos/acme/infra/issues/comments/2"]


@pytest.mark.parametrize("status", [404, 403])
def test_a_known_comment_that_was_deleted_or_is_another_accounts_is_searched(reports, wire, status):
    wire.patch(f"{REPOSITORY}/issues/comments/2", json={"message": "no"}, status=status)
    wire.get(COMMENTS, json=[comment(2, BODY, "another")])
    wire.post(COMMENTS, json=comment(3, BODY), status=201)
    assert reports.publish(TARGET, run_id=RUN_ID, write=lambda style: BODY, comment_id="2") == "3"


def test_a_known_comment_is_not_written_twice_by_a_host_that_fails(reports, wire):
    wire.patch(f"{REPOSITORY}/issues/comments/2", json={}, status=502)
    with pytest.raises(PortFailed):
        reports.publish(TARGET, run_id=RUN_ID, write=lambda style: BODY, comment_id="2")
    assert not [request for request in asked(wire) if not request.startswith("PATCH")]


def test_all_reports_of_a_session_use_one_connection_and_one_read_of_the_token(wire, monkeypatch):
    secrets, opened, closed = MemorySecrets({"ssm:/token": "t0ken-value"}), [], []
    reading = Observed(secrets, name="secrets", before=opened.append)
    close = HostSession.close
    monkeypatch.setattr(HostSession, "close", lambda session: (closed.append(session), close(session)))
    reports = CodeHostReports(reading, MemoryCommitJobs(CLOCK), CLOCK)
    wire.post(f"{REPOSITORY}/statuses/{'a' * 40}", json={}, status=201)
    wire.patch(f"{REPOSITORY}/issues/comments/2", json=comment(2, BODY))
    for _ in range(2):
        with reports.session():
            with reports.session():
                reports.mark(TARGET, STATUS)
            reports.mark(TARGET, STATUS)
            reports.publish(TARGET, run_id=RUN_ID, write=lambda style: BODY, comment_id="2")
    assert opened == ["secrets.read"] * 2
    assert len(set(closed)) == len(closed) == 2


def test_a_github_app_is_asked_for_one_token_in_a_session(wire, app_key):
    app = json.dumps({"app_id": "1", "private_key": app_key, "installation_id": "9"})
    reports = CodeHostReports(MemorySecrets({"ssm:/token": app}), MemoryCommitJobs(CLOCK), CLOCK)
    answer = {"token": "ghs_1", "expires_at": "2999-01-01T00:00:00Z"}
    wire.post(f"{API}/app/installations/9/access_tokens", json=answer, status=201)
    wire.post(f"{REPOSITORY}/statuses/{'a' * 40}", json={}, status=201)
    wire.patch(f"{REPOSITORY}/issues/comments/2", json=comment(2, BODY))
    run = run_row(
        status=RunState.SUCCEEDED,
        report=TARGET.model_copy(update={"comment_id": "2", "order_statuses": True}),
        commit_hash="a" * 40,
    )
    assert publish(reports, run, [order_row(1), order_row(2)], with_status=True).failed == {}
    assert Counter(asked(wire)) == {
        "POST /app/installations/9/access_tokens": 1,
        f"POST /repos/acme/infra/statuses/{'a' * 40}": 3,
        "PATCH /repos/acme/infra/issues/comments/2": 1,
    }


def plan_record() -> PlanRecord:
    planned = PlannedFile(sha256="b" * 64, tool="terraform")
    files = Sealed(sha256="c" * 64, size=10, identity="YQ==")
    plan = {"run_id": RUN_ID, "order_num": "0001", "order_name": "plan-net", "file": "p", "planned": planned}
    return PlanRecord(
        key=keys.plan_record("github.com/acme/infra", 7, "a" * 64),
        project="a" * 64,
        name="live/net",
        pull_request=7,
        repository=TARGET.repository,
        commit="a" * 40,
        base="main",
        saved=SavedPlan(**plan, files=files, generation=0),
        planned_at=START,
        usable_until=START,
        expires_at=START,
    )


def test_a_pull_request_without_a_comment_about_a_stale_plan_gets_none_about_a_new_one(reports, wire):
    wire.get(COMMENTS, json=[comment(1, "something else")])
    reports.notify_planned_again(TARGET, plan_record())
    assert all(request.startswith("GET") for request in asked(wire))


def test_a_comment_about_a_stale_plan_is_replaced(reports, wire):
    wire.get(COMMENTS, json=[comment(2, f"{marker(stale_name(plan_record()))} old")])
    wire.patch(f"{REPOSITORY}/issues/comments/2", json=comment(2, BODY))
    reports.notify_planned_again(TARGET, plan_record())
    assert "was planned again" in json.loads(wire.calls[-1].request.body)["body"]


def test_a_comment_is_written_for_the_longest_that_the_host_takes(reports, wire):
    wire.get(COMMENTS, json=[])
    wire.post(COMMENTS, json=comment(3, BODY), status=201)
    reports.publish(TARGET, run_id=RUN_ID, write=lambda style: f"{marker(RUN_ID)} {style.max_chars}")
    assert json.loads(wire.calls[-1].request.body)["body"].endswith(" 65536")


def test_a_status_is_set_in_one_request(reports, wire):
    wire.post(f"{REPOSITORY}/statuses/{'a' * 40}", json={"state": "success"}, status=201)
    reports.mark(TARGET, STATUS)
    assert asked(wire) == [f"POST /repos/acme/infra/statuses/{'a' * 40}"]
    sent = json.loads(wire.calls[0].request.body)
    assert sent == {"state": "success", "description": "2 succeeded", "context": "iac-ci/plan"}


def test_a_status_of_github_has_at_most_255_characters(reports, wire):
    wire.post(f"{REPOSITORY}/statuses/{'a' * 40}", json={"state": "success"}, status=201)
    status = replace(STATUS, context="iac-ci/" + "x" * 300)
    reports.mark(TARGET, status)
    assert json.loads(wire.calls[0].request.body)["context"] == status.name
    assert len(status.name) == 255


def test_the_token_stands_in_a_header_only(reports, wire):
    wire.post(f"{REPOSITORY}/statuses/{'a' * 40}", json={}, status=201)
    reports.mark(TARGET, STATUS)
    request = wire.calls[0].request
    assert "t0ken-value" in request.headers["Authorization"]
    assert "t0ken-value" not in f"{request.url}{request.body}"


def test_an_enterprise_server_has_its_own_address(reports, wire):
    place = "https://git.example.com/api/v3/repos/acme/infra"
    wire.post(f"{place}/statuses/{'a' * 40}", json={}, status=201)
    reports.mark(TARGET.model_copy(update={"repository": "git@git.example.com:acme/infra.git"}), STATUS)
    assert wire.calls[0].request.url.startswith(place)


@pytest.mark.parametrize(
    ("answer", "error", "safe"),
    [
        ({"status": 403, "json": {"message": "API rate limit exceeded"}}, Throttled, True),
        ({"status": 403, "json": {"message": "Resource not accessible by personal access token"}}, PortFailed, False),
        ({"status": 422, "json": {"message": "Validation Failed"}}, PortFailed, False),
        ({"status": 502, "json": {}}, PortFailed, True),
        ({"body": requests.ConnectionError("no route")}, PortFailed, True),
    ],
)
def test_refusals_become_the_engines_errors(reports, wire, answer, error, safe):
    wire.post(f"{REPOSITORY}/statuses/{'a' * 40}", **answer)
    with pytest.raises(error) as raised:
        reports.mark(TARGET, STATUS)
    assert raised.value.retry_is_safe is safe
    assert "t0ken-value" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"repository": "file:///srv/infra"}, "is not the address of a repository"),
        ({"token_location": None}, "no git_token_location"),
    ],
)
def test_a_report_without_host_or_token_is_refused(reports, change, why):
    with pytest.raises(PortFailed, match=why):
        reports.mark(TARGET.model_copy(update=change), STATUS)


@pytest.mark.parametrize("missing", ["created_at", "id", "updated_at"])
def test_an_answer_without_an_expected_field_is_the_engines_error(reports, wire, missing):
    payload = comment(2, f"{marker(RUN_ID)} old")
    wire.get(COMMENTS, json=[{name: value for name, value in payload.items() if name != missing}])
    with pytest.raises(PortFailed, match="unknown form"):
        reports.publish(TARGET, run_id=RUN_ID, write=lambda style: BODY)


@pytest.mark.parametrize("answer", [{"items": []}, ["text"], [None], "text"])
def test_a_list_of_comments_of_another_form_is_the_engines_error(reports, wire, answer):
    wire.get(COMMENTS, json=answer)
    with pytest.raises(PortFailed, match="unknown form"):
        reports.publish(TARGET, run_id=RUN_ID, write=lambda style: BODY)


def test_nothing_is_kept_on_disk(reports, wire, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wire.post(f"{REPOSITORY}/statuses/{'a' * 40}", json={}, status=201)
    reports.mark(TARGET, STATUS)
    assert list(Path(tmp_path).iterdir()) == []
