"""API Gateway's requests and answers, and the mapping of errors to HTTP status codes."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.errors import AlreadyExists, IacCiError, InputProblems, Problem, SignatureRefused
from iac_ci_common.limits import MAX_BODY_BYTES
from iac_ci_common.request import Request

if TYPE_CHECKING:
    from collections.abc import Mapping


NOT_ACCEPTED: Final = (
    "the request was not accepted; send it again, and a job with the same Idempotency-Key, so that it runs once"
)


class BodyTooLarge(IacCiError):
    """The request's body is larger than the limit."""


class KeyReused(IacCiError):
    """An Idempotency-Key was sent before with another body."""


class NotAnswered(IacCiError):
    """An order that waits for an approval was not answered; the message says why."""


def read_request(event: Mapping[str, Any]) -> Request:
    """Return the request of API Gateway's proxy event; raise ``BodyTooLarge`` or ``InputProblems``."""
    body = event.get("body") or ""
    if len(body) > MAX_BODY_BYTES * 2:
        raise BodyTooLarge(f"the body has more than the allowed {MAX_BODY_BYTES} bytes")
    try:
        raw = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode("utf-8")
    except (binascii.Error, UnicodeEncodeError):
        raise InputProblems([Problem("body", "is not valid base64 or UTF-8")]) from None
    if len(raw) > MAX_BODY_BYTES:
        raise BodyTooLarge(f"the body has more than the allowed {MAX_BODY_BYTES} bytes")
    headers = {str(name).lower(): str(value) for name, value in (event.get("headers") or {}).items()}
    return Request(raw, headers)


_STATUSES: Final = (
    (SignatureRefused, 401),
    (BodyTooLarge, 413),
    (KeyReused, 409),
    (AlreadyExists, 409),
    (NotAnswered, 409),
)


def answer(status: int, content: Mapping[str, Any] | str) -> dict[str, Any]:
    """Return API Gateway's proxy answer; ``content`` as text must be JSON."""
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
        "body": content if isinstance(content, str) else json.dumps(content),
    }


def refusal(error: IacCiError) -> dict[str, Any]:
    """Return the answer for an error."""
    if isinstance(error, InputProblems):
        problems = [{"where": problem.where, "what": problem.what} for problem in error.problems]
        return answer(400, {"error": "the request cannot be accepted", "problems": problems})
    status = 503 if error.retry_is_safe else 500
    for kind, known in _STATUSES:
        if isinstance(error, kind):
            status = known
    # Internal errors are only logged; the caller gets whether a retry may succeed.
    message = error.message if status < 500 else NOT_ACCEPTED
    return answer(status, {"error": message, "retry": error.retry_is_safe})
