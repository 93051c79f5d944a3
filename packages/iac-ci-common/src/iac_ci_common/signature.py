"""``X-IaC-CI-Signature: t=<unix>,v1=<hex hmac-sha256 of "t.body">`` authenticates an API caller."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import SignatureRefused
from iac_ci_common.limits import SIGNATURE_TOLERANCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

HEADER: Final = "X-IaC-CI-Signature"

_FORM = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")


def sign(secret: str, body: bytes, now: datetime) -> str:
    """Return the header that signs ``body`` at ``now`` with the shared secret."""
    timestamp = str(int(now.timestamp()))
    return f"t={timestamp},v1={_digest(secret, timestamp, body)}"


def verify(header: str | None, body: bytes, secrets: Sequence[str], now: datetime) -> str:
    """Return the signature's digest if one of the secrets made it within five minutes of ``now``.

    Several secrets are accepted, so that a secret can be rotated. Raises ``SignatureRefused`` otherwise, also if no
    secret is set: without a secret every request is refused.
    """
    usable = [secret for secret in secrets if secret]
    if not usable:
        raise SignatureRefused("no webhook secret is set, so every request is refused")
    if not header:
        raise SignatureRefused(f"the request has no {HEADER} header")
    match = _FORM.fullmatch(header.strip())
    if match is None:
        raise SignatureRefused(f"{HEADER} is not of the form t=<unix time>,v1=<64 hex digits>")
    timestamp, digest = match.groups()
    # Every secret is compared, in constant time, so that the duration shows nothing about the secrets.
    matches = [hmac.compare_digest(_digest(secret, timestamp, body), digest) for secret in usable]
    if not any(matches):
        raise SignatureRefused("the signature does not match the body and any of the stack's webhook secrets")
    if abs(now.timestamp() - int(timestamp)) > SIGNATURE_TOLERANCE_SECONDS:
        raise SignatureRefused(f"the signature's time is more than {SIGNATURE_TOLERANCE_SECONDS} seconds from now")
    return digest


def _digest(secret: str, timestamp: str, body: bytes) -> str:
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
