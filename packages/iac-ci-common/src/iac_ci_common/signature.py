"""``X-IaC-CI-Signature: t=<unix>,v1=<hex hmac-sha256 of "t.body">``: how an API caller proves who it is."""

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
    moment = str(int(now.timestamp()))
    return f"t={moment},v1={_digest(secret, moment, body)}"


def verify(header: str | None, body: bytes, secrets: Sequence[str], now: datetime) -> str:
    """Return the signature's digest if one of the secrets made it within five minutes of ``now``.

    Several secrets are accepted while one replaces another. Raises ``SignatureRefused`` otherwise, also where no
    secret is set: an engine without a secret refuses everything.
    """
    usable = [secret for secret in secrets if secret]
    if not usable:
        raise SignatureRefused("no webhook secret is set, so every request is refused")
    if not header:
        raise SignatureRefused(f"the request has no {HEADER} header")
    match = _FORM.fullmatch(header.strip())
    if match is None:
        raise SignatureRefused(f"{HEADER} is not of the form t=<unix time>,v1=<64 hex digits>")
    moment, given = match.groups()
    # Every secret is compared, in constant time, so that timing tells nothing about which one came close.
    matches = [hmac.compare_digest(_digest(secret, moment, body), given) for secret in usable]
    if not any(matches):
        raise SignatureRefused("the signature does not fit the body")
    if abs(now.timestamp() - int(moment)) > SIGNATURE_TOLERANCE_SECONDS:
        raise SignatureRefused(f"the signature is more than {SIGNATURE_TOLERANCE_SECONDS} seconds old or ahead")
    return given


def _digest(secret: str, moment: str, body: bytes) -> str:
    return hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()
