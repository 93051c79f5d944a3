"""Verifies that a code host sent a webhook: by each host's signature, over the raw bytes, in constant time.

GitHub signs with ``X-Hub-Signature-256`` (GitHub Docs, "Validating webhook deliveries"); its older ``X-Hub-Signature``
is SHA-1 and is not accepted. Bitbucket Cloud signs with ``X-Hub-Signature: sha256=…`` (Atlassian Support, "Manage
webhooks"). GitLab sends its secret token itself in ``X-Gitlab-Token`` or, if the webhook has a signing token
(``whsec_…``), signs by Standard Webhooks: ``webhook-signature`` over ``id.timestamp.body`` (GitLab Docs, "Webhooks").
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import SignatureRefused
from iac_ci_common.limits import SIGNATURE_TOLERANCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

_SHA256: Final = re.compile(r"sha256=([0-9a-f]{64})")
_SIGNING_PREFIX: Final = "whsec_"
_MOST_SIGNATURES: Final = 8
_UNIX_TIME: Final = re.compile(r"[0-9]{1,12}")


class Sender(StrEnum):
    """The kinds of code host whose webhooks are supported; the names are those of the providers."""

    GITHUB = "github"
    GITLAB = "gitlab"
    BITBUCKET = "bitbucket"


_EVENT_HEADERS: Final = {
    "x-github-event": Sender.GITHUB,
    "x-gitlab-event": Sender.GITLAB,
    "x-event-key": Sender.BITBUCKET,
}


def sender(headers: Mapping[str, str]) -> Sender | None:
    """Return the kind of host that a request claims to come from, by its event header; None if it is not a webhook.

    Header names are lower-case. Raises ``SignatureRefused`` if a request claims two senders, because it could be
    verified as one and parsed as the other.
    """
    claimed = {kind for name, kind in _EVENT_HEADERS.items() if name in headers}
    if len(claimed) > 1:
        raise SignatureRefused("the request has the event headers of more than one code host")
    return next(iter(claimed), None)


def verify(kind: Sender, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime) -> None:
    """Verify that the request was made with one of ``secrets`` (several during a rotation).

    ``body`` is the raw body. Raises ``SignatureRefused`` otherwise, also if no secret is set.
    """
    usable = [secret for secret in secrets if secret]
    if not usable:
        raise SignatureRefused("no webhook secret is set for this repository, so every event of it is refused")
    if kind is Sender.GITLAB:
        _verify_gitlab(headers, body, usable, now)
    elif kind is Sender.GITHUB:
        _verify_digest("X-Hub-Signature-256", headers, body, usable)
    else:
        _verify_digest("X-Hub-Signature", headers, body, usable)


def _verify_gitlab(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime) -> None:
    """Verify the signature if there is one, else the secret itself; a signing token is not accepted as a secret."""
    signing = [secret for secret in secrets if secret.startswith(_SIGNING_PREFIX)]
    if signing and "webhook-signature" in headers:
        _verify_standard(headers, body, signing, now)
        return
    plain = [secret for secret in secrets if not secret.startswith(_SIGNING_PREFIX)]
    if not plain:
        raise SignatureRefused("the event has no webhook-signature header")
    token = headers.get("x-gitlab-token")
    if not token:
        raise SignatureRefused("the event has no X-Gitlab-Token header")
    # Digests are compared, so that the duration does not show the token's length.
    digest = _sha256(token)
    if not _any_equal([(_sha256(secret), digest) for secret in plain]):
        raise SignatureRefused("the event's X-Gitlab-Token is not one of this repository's webhook secrets")


def _verify_standard(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime) -> None:
    identity, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not identity or _UNIX_TIME.fullmatch(timestamp) is None:
        raise SignatureRefused("the event has no webhook-id, or no webhook-timestamp in seconds")
    signed = b".".join((identity.encode("utf-8", "surrogateescape"), timestamp.encode(), body))
    expected = [hmac.new(_signing_key(secret), signed, hashlib.sha256).digest() for secret in secrets]
    signatures = [_signature(part) for part in headers["webhook-signature"].split(" ")[:_MOST_SIGNATURES]]
    if not _any_equal([(digest, signature) for digest in expected for signature in signatures]):
        raise SignatureRefused("the event's signature does not match its body and a webhook secret")
    if abs(now.timestamp() - int(timestamp)) > SIGNATURE_TOLERANCE_SECONDS:
        raise SignatureRefused(f"the signature's time is more than {SIGNATURE_TOLERANCE_SECONDS} seconds from now")


def _signing_key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_SIGNING_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        # Everyone can sign with an empty key.
        raise SignatureRefused("a signing token of this repository is not whsec_ followed by base64")
    return key


def _signature(part: str) -> bytes:
    version, _, text = part.partition(",")
    try:
        return base64.b64decode(text, validate=True) if version == "v1" else b""
    except (binascii.Error, ValueError):
        return b""


def _verify_digest(name: str, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> None:
    header = headers.get(name.lower())
    if not header:
        raise SignatureRefused(f"the event has no {name} header")
    match = _SHA256.fullmatch(header)
    if match is None:
        raise SignatureRefused(f"{name} is not of the form sha256=<64 hex digits>")
    signature = match[1]
    expected = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in secrets]
    if not _any_equal([(digest.encode(), signature.encode()) for digest in expected]):
        raise SignatureRefused("the event's signature does not match its body and a webhook secret")


def _any_equal(pairs: Sequence[tuple[bytes, bytes]]) -> bool:
    """Return whether a pair is equal. Every pair is compared in constant time, so that the duration shows nothing."""
    return sum(hmac.compare_digest(one, other) for one, other in pairs) > 0


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
