from __future__ import annotations

import base64
import json
import shlex
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from iac_ci_common.redaction import Redactor

SECRET = "p@ss/w0rd+with \"quotes\" & 'more'=="


def whole(redactor, data, sizes=()):
    out, position = b"", 0
    for size in sizes:
        out += redactor.feed(data[position : position + size])
        position += size
    return out + redactor.feed(data[position:]) + redactor.finish()


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"x" + SECRET.encode()).decode(),
        base64.b64encode(b"xy" + SECRET.encode() + b"z").decode(),
        base64.urlsafe_b64encode(b"user:" + SECRET.encode()).decode(),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        json.dumps({"key": SECRET}),
        json.dumps(json.dumps(SECRET)),
        shlex.quote(SECRET),
        SECRET.encode().hex(),
    ],
)
def test_every_usual_form_is_masked(form):
    masked = whole(Redactor([SECRET]), f"before {form} after".encode()).decode()
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert "***" in masked
    assert "p@ss" not in masked
    # What is left of the form is not enough to get the secret back from.
    left = masked.replace("***", "").removeprefix("before ").removesuffix(" after")
    assert len(left) <= 16


@given(st.text(min_size=4, max_size=40), st.binary(max_size=60), st.binary(max_size=60), st.lists(st.integers(0, 30)))
def test_no_chunking_shows_a_secret(secret, before, after, sizes):
    plain = secret.encode("utf-8", "surrogatepass")
    assume(max(secret) < "\ud800" or min(secret) > "\udfff")
    assume(len(plain.strip()) >= 4)
    assume(plain not in b"***")
    masked = whole(Redactor([secret]), before + plain + after, sizes)
    assert plain not in masked or plain in (before + b"***" + after)


def test_lines_of_a_key_are_masked_each():
    key = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA1234567890\nabcdefghijklmnop\n-----END KEY-----"
    masked = whole(Redactor([key]), b"  MIIEowIBAAKCAQEA1234567890\r\n| abcdefghijklmnop |")
    assert b"MIIE" not in masked
    assert b"abcdefghijklmnop" not in masked


def test_the_longer_of_two_secrets_is_masked_whole():
    masked = whole(Redactor(["token", "token-and-more"]), b"a token-and-more b token c", [3, 4, 5])
    assert masked == b"a *** b *** c"


def test_short_values_and_none_leave_the_stream_alone():
    assert whole(Redactor(["", "abc"]), b"abc abc") == b"abc abc"
    assert whole(Redactor([]), b"anything") == b"anything"
