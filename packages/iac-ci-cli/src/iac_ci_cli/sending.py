"""Sends a signed job to the webhook endpoint, again where that is safe and may help."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from iac_ci_cli.errors import CommandFailed
from iac_ci_common.signature import HEADER, sign

if TYPE_CHECKING:
    from collections.abc import Callable

_ANSWER_SECONDS: Final = 35

PAUSES: Final = (2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0)
"""Seconds between sendings, 150 in all: an idle function becomes active within 40 to 106 seconds, and API Gateway
answers 5xx until then (AWS Lambda Developer Guide, "Lambda function states")."""


def post(
    url: str,
    secret: str,
    body: bytes,
    *,
    key: str,
    again: str,
    wait: Callable[[float], None] = time.sleep,
) -> tuple[int, bytes]:
    """Send a job and return the status and the body of the answer.

    A job whose answer was lost, or that API Gateway answered with 5xx, is sent again with the same ``key``, so that it
    starts one run. Each time it is signed again: a signature is valid for five minutes. Raises ``CommandFailed``
    with the hint ``again`` where the endpoint cannot be reached, and without an answer at the end.
    """
    import urllib3

    with urllib3.PoolManager(retries=False, timeout=_ANSWER_SECONDS) as pool:
        for pause in (*PAUSES, None):
            headers = {
                "Content-Type": "application/json",
                HEADER: sign(secret, body, datetime.now(UTC)),
                "Idempotency-Key": key,
            }
            try:
                answer = pool.request("POST", url, body=body, headers=headers)
            except urllib3.exceptions.HTTPError as error:
                # It is one of urllib3's time-outs too, though nothing was waited for.
                unreachable = isinstance(error, urllib3.exceptions.NewConnectionError)
                if pause is None or unreachable:
                    timed_out = isinstance(error, urllib3.exceptions.TimeoutError) and not unreachable
                    reason = "in time" if timed_out else "the request"
                    raise CommandFailed(f"the webhook endpoint {url} did not answer {reason}", hint=again) from error
            else:
                if pause is None or not _may_succeed_later(answer.status, answer.data):
                    return answer.status, answer.data
            wait(pause)
    raise AssertionError("the last sending returns or raises")


def _may_succeed_later(status: int, data: bytes) -> bool:
    """Return whether an answer is a fault that may pass: API Gateway's own, or one of which the engine says so."""
    if status < 500:
        return False
    try:
        payload: Any = json.loads(data)
    except ValueError:
        return True
    return not isinstance(payload, dict) or payload.get("retry") is not False
