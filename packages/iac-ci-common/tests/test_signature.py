from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iac_ci_common.errors import SignatureRefused
from iac_ci_common.signature import sign, verify

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.binary(), st.text(min_size=1))
def test_what_is_signed_is_verified_also_during_rotation(body, secret):
    assert verify(sign(secret, body, NOW), body, ["old", secret], NOW)


@pytest.mark.parametrize(
    ("header", "secrets", "moment"),
    [
        (None, ["s"], NOW),
        ("", ["s"], NOW),
        ("nonsense", ["s"], NOW),
        (sign("s", b"other", NOW), ["s"], NOW),
        (sign("forged", b"body", NOW), ["s"], NOW),
        (sign("s", b"body", NOW)[:-1], ["s"], NOW),
        (sign("s", b"body", NOW).replace("v1", "v0"), ["s"], NOW),
        (sign("s", b"body", NOW), [], NOW),
        (sign("", b"body", NOW), [""], NOW),
        (sign("s", b"body", NOW), ["s"], NOW + timedelta(seconds=301)),
        (sign("s", b"body", NOW), ["s"], NOW - timedelta(seconds=301)),
    ],
)
def test_everything_else_is_refused(header, secrets, moment):
    with pytest.raises(SignatureRefused):
        verify(header, b"body", secrets, moment)


@given(st.text())
def test_no_header_breaks_the_reader(header):
    with pytest.raises(SignatureRefused):
        verify(header, b"body", ["s"], NOW)
