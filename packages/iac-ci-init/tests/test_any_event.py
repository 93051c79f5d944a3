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

from iac_ci_init import wiring
from iac_ci_init.handler import handler

sys.path.insert(0, str(Path(__file__).parent))
from event_harness import REPOSITORY, SECRET, Hosted

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
@given(body=st.binary(max_size=300), header=HEADERS, signature=st.text(max_size=80))
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
