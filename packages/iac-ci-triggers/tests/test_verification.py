"""Only who knows a secret of the repository can make the engine read an event."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iac_ci_common.errors import SignatureRefused
from iac_ci_common.testing.samples import START
from iac_ci_triggers.verification import Sender, sender
from iac_ci_triggers.verification import verify as verify_at

BODY = b'{"zen": "caf\xc3\xa9 \xf0\x9f\x9a\x80"}'
SIGNED = {Sender.GITHUB: "x-hub-signature-256", Sender.BITBUCKET: "x-hub-signature"}


def verify(kind, headers, body, secrets, now=START):
    verify_at(kind, headers, body, secrets, now)


def signed(kind, body, secret="new"):
    if kind is Sender.GITLAB:
        return {"x-gitlab-token": secret}
    return {SIGNED[kind]: "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


@pytest.mark.parametrize("kind", Sender)
@pytest.mark.parametrize("secret", ["old", "new"])
def test_either_secret_counts_while_one_replaces_the_other(kind, secret):
    verify(kind, signed(kind, BODY, secret), BODY, ["old", "new"])


@pytest.mark.parametrize("kind", Sender)
@pytest.mark.parametrize("secrets", [[], [""], ["", ""]])
def test_an_unset_secret_refuses_even_what_is_signed_with_nothing(kind, secrets):
    with pytest.raises(SignatureRefused, match="no webhook secret is set"):
        verify(kind, signed(kind, BODY, ""), BODY, secrets)


@pytest.mark.parametrize("kind", Sender)
@pytest.mark.parametrize("secret", ["ne", "neww", "NEW", "", "\udcff"])
def test_another_secret_is_refused(kind, secret):
    headers = {"x-gitlab-token": secret} if kind is Sender.GITLAB else signed(kind, BODY, secret.encode().decode()
        if secret.isascii() else "other")  # fmt: skip
    with pytest.raises(SignatureRefused):
        verify(kind, headers, BODY, ["new"])


@pytest.mark.parametrize("kind", Sender)
def test_an_event_without_proof_is_refused(kind):
    with pytest.raises(SignatureRefused, match="has no"):
        verify(kind, {}, BODY, ["new"])


def test_a_sha1_signature_alone_is_refused():
    sha1 = "sha1=" + hmac.new(b"new", BODY, hashlib.sha1).hexdigest()
    for kind in SIGNED:
        with pytest.raises(SignatureRefused):
            verify(kind, {"x-hub-signature": sha1}, BODY, ["new"])
        with pytest.raises(SignatureRefused, match="not of the form"):
            verify(kind, {SIGNED[kind]: sha1}, BODY, ["new"])


def test_the_proof_of_one_host_is_none_for_another():
    for made in Sender:
        for read in set(Sender) - {made}:
            with pytest.raises(SignatureRefused):
                verify(read, signed(made, BODY), BODY, ["new"])


@given(body=st.binary(max_size=200), at=st.integers(min_value=0), change=st.integers(1, 255), cut=st.booleans())
def test_a_body_that_was_changed_or_cut_is_refused(body, at, change, cut):
    whole = body + b"}"
    at %= len(whole)
    other = whole[:at] if cut else whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :]
    for kind in SIGNED:
        verify(kind, signed(kind, whole), whole, ["old", "new"])
        with pytest.raises(SignatureRefused, match="does not match"):
            verify(kind, signed(kind, whole), other, ["old", "new"])


@given(st.text(max_size=80))
def test_whatever_a_header_says_it_is_refused_and_nothing_else_happens(text):
    for kind in Sender:
        with pytest.raises(SignatureRefused):
            verify(kind, {"x-hub-signature": text, "x-hub-signature-256": text, "x-gitlab-token": f"{text}."}, BODY,
                   ["n e w"])  # fmt: skip


def test_the_sender_is_whose_event_header_there_is():
    assert sender({"x-github-event": "push"}) is Sender.GITHUB
    assert sender({"x-gitlab-event": "Push Hook"}) is Sender.GITLAB
    assert sender({"x-event-key": "repo:push"}) is Sender.BITBUCKET
    assert sender({"x-iac-ci-signature": "t=1,v1=…"}) is None
    with pytest.raises(SignatureRefused, match="more than one"):
        sender({"x-github-event": "push", "x-gitlab-event": "Push Hook"})


KEY = b"k" * 32
TOKEN = "whsec_" + base64.b64encode(KEY).decode()


def standard(body, key=KEY, identity="delivery-1", at=None):
    moment = str(int(START.timestamp()) if at is None else at)
    digest = hmac.new(key, f"{identity}.{moment}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": identity,
        "webhook-timestamp": moment,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


def test_gitlabs_signing_token_signs_id_time_and_body():
    headers = standard(BODY)
    verify(Sender.GITLAB, headers, BODY, ["plain", TOKEN])
    both = headers | {"webhook-signature": "v1,AAAA v2,BBBB " + headers["webhook-signature"]}
    verify(Sender.GITLAB, both, BODY, [TOKEN])
    for name in ("webhook-id", "webhook-timestamp"):
        with pytest.raises(SignatureRefused):
            verify(Sender.GITLAB, headers | {name: headers[name] + "1"}, BODY, [TOKEN])
        with pytest.raises(SignatureRefused):
            verify(Sender.GITLAB, {key: value for key, value in headers.items() if key != name}, BODY, [TOKEN])
    with pytest.raises(SignatureRefused, match="does not match"):
        verify(Sender.GITLAB, headers, BODY + b" ", [TOKEN])
    with pytest.raises(SignatureRefused, match="does not match"):
        verify(Sender.GITLAB, standard(BODY, b"other"), BODY, [TOKEN])


@pytest.mark.parametrize("seconds", [-301, 301])
def test_an_old_signature_of_gitlab_is_refused(seconds):
    with pytest.raises(SignatureRefused, match="seconds from now"):
        verify(Sender.GITLAB, standard(BODY, at=int(START.timestamp()) + seconds), BODY, [TOKEN])


def test_a_signing_token_sent_as_the_secret_proves_nothing():
    with pytest.raises(SignatureRefused):
        verify(Sender.GITLAB, {"x-gitlab-token": TOKEN}, BODY, [TOKEN])
    with pytest.raises(SignatureRefused):
        verify(Sender.GITLAB, {"x-gitlab-token": TOKEN}, BODY, [TOKEN, "plain"])


@pytest.mark.parametrize("text", ["", "v1,", "v1,=", "v1,é", "v2,AAAA", " ", "v1"])
def test_a_malformed_signature_of_gitlab_is_refused(text):
    with pytest.raises(SignatureRefused):
        verify(Sender.GITLAB, standard(BODY) | {"webhook-signature": text}, BODY, [TOKEN])


@pytest.mark.parametrize("token", ["whsec_", "whsec_=", "whsec_é"])
def test_a_signing_token_without_a_key_refuses_what_anybody_could_sign(token):
    with pytest.raises(SignatureRefused, match="not whsec_ followed by base64"):
        verify(Sender.GITLAB, standard(BODY, b""), BODY, [token])
