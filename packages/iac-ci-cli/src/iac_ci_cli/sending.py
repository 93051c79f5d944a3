"""Sends a signed job to the webhook endpoint, again where that is safe and may help."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from iac_ci_cli.errors import CommandFailed
from iac_ci_common.signature import HEADER, sign

if TYPE_CHECKING:
    from collections.abc import Callable

    from urllib3 import PoolManager

_ANSWER_SECONDS: Final = 35

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
"""Hosts of local clouds, which no proxy reaches."""

_TOO_MANY: Final = 429

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

    A job whose answer was lost, or that API Gateway answered with 5xx or 429, is sent again with the same ``key``, so
    that it starts one run. Each time it is signed again: a signature is valid for five minutes. Proxies and
    certificates are those of all AWS calls: HTTPS_PROXY, NO_PROXY and AWS_CA_BUNDLE. Raises ``CommandFailed`` with the
    hint ``again`` where the endpoint cannot be reached, and without an answer at the end.
    """
    import urllib3

    with _pool(url) as pool:
        for pause in (*PAUSES, None):
            headers = {
                "Content-Type": "application/json",
                HEADER: sign(secret, body, datetime.now(UTC)),
                "Idempotency-Key": key,
            }
            try:
                answer = pool.request("POST", url, body=body, headers=headers)
            except urllib3.exceptions.HTTPError as error:
                cause: Exception = error
                where = ""
                if isinstance(error, urllib3.exceptions.ProxyError):
                    cause, where = error.original_error, ": the proxy of this machine's settings failed"
                # It is one of urllib3's time-outs too, though nothing was waited for.
                unreachable = isinstance(cause, urllib3.exceptions.NewConnectionError)
                if pause is None or unreachable:
                    timed_out = isinstance(error, urllib3.exceptions.TimeoutError) and not unreachable
                    reason = "in time" if timed_out else "the request"
                    raise CommandFailed(
                        f"the webhook endpoint {url} did not answer {reason}{where}", hint=again
                    ) from error
            else:
                if pause is None or not _may_succeed_later(answer.status, answer.data):
                    return answer.status, answer.data
            wait(pause)
    raise AssertionError("the last sending returns or raises")


def _pool(url: str) -> PoolManager:
    """Return what connects to the endpoint, through the proxy that the environment names for it, if it does."""
    import urllib3

    address = urlsplit(url)
    options: dict[str, Any] = {"retries": False, "timeout": _ANSWER_SECONDS}
    if certificates := os.environ.get("AWS_CA_BUNDLE"):
        options["ca_certs"] = certificates
    is_direct = address.hostname in _LOOPBACK or proxy_bypass(address.netloc)
    named = None if is_direct else getproxies().get(address.scheme)
    if not named:
        return urllib3.PoolManager(**options)
    proxy = urlsplit(named if "://" in named else f"http://{named}")
    if proxy.username is not None:
        account = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=account)
    return urllib3.ProxyManager(proxy.geturl(), **options)


def _may_succeed_later(status: int, data: bytes) -> bool:
    """Return whether an answer is a fault that may pass: API Gateway's own, or one of which the engine says so.

    With 429 API Gateway says that too many requests came at once (terraform/deploy/stack/api.json has the limits).
    """
    if status == _TOO_MANY:
        return True
    if status < 500:
        return False
    try:
        payload: Any = json.loads(data)
    except ValueError:
        return True
    return not isinstance(payload, dict) or payload.get("retry") is not False
