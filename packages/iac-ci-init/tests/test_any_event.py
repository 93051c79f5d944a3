"""Any request to the endpoint for events, signed or not: an answer below 500, and no job without a valid event."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iac_ci_common.cached_secrets import SharedSecrets
from iac_ci_common.errors import PortFailed, Throttled
from iac_ci_common.locations import parse_location
from iac_ci_common.testing import MemorySecrets
from iac_ci_init import wiring
from iac_ci_init.handler import handler

sys.path.insert(0, str(Path(__file__).parent))
from event_harness import REPOSITORY, SECRET, Hosted

DEEP = b'{"repository":' * 10_000 + b"1" + b"}" * 10_000
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["action", "number", "pull_request", "issue", "comment", "sender", "ref", "after", "commits"])
PAYLOADS = st.dictionaries(NAMES | st.text(max_size=8), ANYTHING, max_size=6)
EVENTS = {
    "x-github-event": ["pull_request", "issue_comment", "push", "ping", "star", ""],
    "x-gitlab-event": ["Push Hook", "Note Hook", ""],
    "x-event-key": ["repo:push", "pullrequest:created", "pullrequest:comment_created", ""],
}
HEADERS = st.sampled_from([(name, value) for name, values in EVENTS.items() for value in values])


@pytest.fixture
def hosted(monkeypatch):
    hosted = Hosted()
    monkeypatch.setattr(wiring, "webhook_receiver", lambda: hosted.receiver)
    monkeypatch.setattr(wiring, "logger", lambda: hosted.logger)
    return hosted


def request(body, headers, *, encoded=False):
    text = base64.b64encode(body).decode() if encoded else body.decode("utf-8", "surrogateescape")
    return {"httpMethod": "POST", "headers": headers, "body": text, "isBase64Encoded": encoded}


def signatures(body):
    digest = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": digest, "X-Hub-Signature": digest, "X-Gitlab-Token": SECRET}


@settings(max_examples=300, deadline=None)
@given(payload=PAYLOADS, header=HEADERS, delivery=st.text(max_size=20), encoded=st.booleans())
def test_no_signed_event_is_answered_as_our_failure(payload, header, delivery, encoded):
    with pytest.MonkeyPatch.context() as patch:
        hosted = Hosted()
        patch.setattr(wiring, "webhook_receiver", lambda: hosted.receiver)
        patch.setattr(wiring, "logger", lambda: hosted.logger)
        body = json.dumps({**payload, "repository": {"html_url": REPOSITORY}}).encode()
        headers = {header[0]: header[1], "X-GitHub-Delivery": delivery, **signatures(body)}
        assert handler(request(body, headers, encoded=encoded), None)["statusCode"] in {200, 202, 401}


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=300), header=HEADERS, signature=st.text(max_size=80).filter(lambda text: text != SECRET))
def test_nothing_unsigned_gets_in(body, header, signature):
    with pytest.MonkeyPatch.context() as patch:
        hosted = Hosted()
        patch.setattr(wiring, "webhook_receiver", lambda: hosted.receiver)
        patch.setattr(wiring, "logger", lambda: hosted.logger)
        headers = {header[0]: header[1], "X-Hub-Signature-256": signature, "X-Gitlab-Token": signature}
        assert handler(request(body, headers, encoded=True), None)["statusCode"] == 401
        assert hosted.untouched


def test_two_claims_of_who_sends_are_refused(hosted):
    body = b"{}"
    headers = {"x-github-event": "ping", "x-gitlab-event": "Push Hook", **signatures(body)}
    assert handler(request(body, headers), None)["statusCode"] == 401


@pytest.mark.parametrize("encoded", [True, False])
def test_the_answer_says_what_became_of_it(hosted, encoded):
    body = json.dumps({"repository": {"html_url": REPOSITORY}, "zen": "x"}).encode()
    said = handler(request(body, {"X-GitHub-Event": "ping", **signatures(body)}, encoded=encoded), None)
    assert (said["statusCode"], "pong" in json.loads(said["body"])["reason"]) == (200, True)


class Counted(MemorySecrets):
    """Secrets that count their reads."""

    def __init__(self, known):
        self.values, self.reads = known.values, []

    def read(self, location):
        self.reads.append(str(location))
        return super().read(location)


def counted(hosted, monkeypatch):
    secrets = Counted(hosted.secrets)
    hosted.receiver._secrets = SharedSecrets(secrets)
    return secrets


UNSIGNED = {"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + "0" * 64}
STRANGERS = ["https://github.com/acme/elsewhere", "https://gitlab.com/acme/infra", "https://evil.example/a/b"]


@pytest.mark.parametrize("body", [b"{}", b"[" * 100_000, b'{"a": 1, "a": 2}', b"\xff", b"", DEEP])
def test_nothing_is_parsed_before_the_signature_holds(hosted, monkeypatch, body):
    def fail(*arguments):
        raise AssertionError("parsed")

    monkeypatch.setattr("iac_ci_triggers.webhook.read_payload", fail)
    monkeypatch.setattr("iac_ci_triggers.webhook.parse_events", fail)
    for content in (body, json.dumps({"repository": {"html_url": REPOSITORY}, "rest": "x"}).encode()):
        assert handler(request(content, UNSIGNED, encoded=True), None)["statusCode"] == 401
    assert hosted.untouched


def test_unsigned_answers_do_not_tell_connected_repositories_from_others(hosted, monkeypatch):
    """The same status, text, number of compared digests, and number of read secrets."""
    secrets = counted(hosted, monkeypatch)
    digests = []
    real = hmac.new
    monkeypatch.setattr("iac_ci_triggers.verification.hmac.new", lambda *given: digests.append(1) or real(*given))
    seen = set()
    for repository in [REPOSITORY, REPOSITORY.upper().replace("HTTPS", "https"), *STRANGERS]:
        body = json.dumps({"repository": {"html_url": repository}}).encode()
        hosted.clock.advance(301)
        secrets.reads.clear()
        digests.clear()
        answer = handler(request(body, UNSIGNED), None)
        seen.add((answer["statusCode"], answer["body"], len(digests), tuple(secrets.reads)))
    assert len(seen) == 1
    ((status, text, compared, _),) = seen
    assert (status, compared) == (401, 2)
    assert "not signed" in text


def test_a_secret_that_cannot_be_read_does_not_show_a_connected_repository(hosted, monkeypatch):
    """The other secrets of the connection count, and the log names the one that does not."""
    secrets = counted(hosted, monkeypatch)
    read = secrets.read

    def refuse(location):
        if str(location).endswith("-next"):
            raise PortFailed("AccessDenied")
        return read(location)

    monkeypatch.setattr(secrets, "read", refuse)
    seen = set()
    for repository in [REPOSITORY, *STRANGERS]:
        body = json.dumps({"repository": {"html_url": repository}}).encode()
        answer = handler(request(body, UNSIGNED), None)
        seen.add((answer["statusCode"], answer["body"]))
    assert [status for status, _ in seen] == [401]
    body = json.dumps({"repository": {"html_url": REPOSITORY}}).encode()
    assert handler(request(body, {"X-GitHub-Event": "ping", **signatures(body)}), None)["statusCode"] == 200
    named = {fields["location"] for level, _, fields in hosted.logger.lines if level == "error"}
    assert named == {"ssm:/iac-ci/iac-ci/webhook-secret-next"}


def test_an_event_of_an_unconnected_repository_is_refused_though_a_connected_ones_secret_signed_it(hosted):
    for repository in STRANGERS:
        body = json.dumps({"repository": {"html_url": repository}}).encode()
        assert handler(request(body, {"X-GitHub-Event": "push", **signatures(body)}), None)["statusCode"] == 401
    assert hosted.untouched


def test_a_missing_secret_is_missing_for_a_minute(hosted, monkeypatch):
    secrets = counted(hosted, monkeypatch)
    name = "ssm:/iac-ci/iac-ci/webhook-secret-next"
    body = json.dumps({"repository": {"html_url": REPOSITORY}, "zen": "x"}).encode()
    signature = "sha256=" + hmac.new(b"the next", body, hashlib.sha256).hexdigest()
    signed = request(body, {"X-GitHub-Event": "ping", "X-Hub-Signature-256": signature})
    for seconds, status in ((0, 401), (0, 401), (60, 401), (1, 200)):
        hosted.clock.advance(seconds)
        assert handler(signed, None)["statusCode"] == status
        secrets.values[parse_location(name)] = "the next"
    assert secrets.reads.count(name) == 2


def test_a_flood_of_unsigned_events_calls_no_service_for_each(hosted, monkeypatch):
    secrets = counted(hosted, monkeypatch)
    bodies = [json.dumps({"repository": {"html_url": url}}).encode() for url in (REPOSITORY, *STRANGERS)] + [b"", b"{"]
    for body in bodies * 50:
        assert handler(request(body, UNSIGNED), None)["statusCode"] == 401
    assert sorted(secrets.reads) == [
        "ssm:/iac-ci/iac-ci/connections",
        "ssm:/iac-ci/iac-ci/webhook-secret-acme",
        "ssm:/iac-ci/iac-ci/webhook-secret-next",
    ]
    assert hosted.untouched


def test_a_failed_call_is_not_repeated_by_each_request_of_a_flood(hosted, monkeypatch):
    secrets = counted(hosted, monkeypatch)
    calls = []

    def fail(location):
        calls.append(location)
        raise Throttled("slow down")

    monkeypatch.setattr(secrets, "read", fail)
    for _ in range(20):
        assert handler(request(b"{}", UNSIGNED), None)["statusCode"] == 503
    assert len(calls) == 1
    monkeypatch.undo()
    monkeypatch.setattr(wiring, "webhook_receiver", lambda: hosted.receiver)
    monkeypatch.setattr(wiring, "logger", lambda: hosted.logger)
    hosted.clock.advance(6)
    body = json.dumps({"repository": {"html_url": REPOSITORY}}).encode()
    assert handler(request(body, {"X-GitHub-Event": "ping", **signatures(body)}), None)["statusCode"] == 200
