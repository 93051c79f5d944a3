"""Lets presigned URLs end from a chosen step of an order on, in a local cloud.

A test, or a sweep over the steps of an order, takes a ``BreakingCloud`` and calls before it submits a run::

    cloud.end_sessions(Ending("session", method="PUT", suffix="/result.json"))
    ...
    cloud.presigned()  # {"requests": [["GET", "/bucket/key"], …], "refused": 3}

``end_sessions`` starts the count again. From the ``number``-th (from 0) presigned request on that has this method and
whose path ends so, every URL that was signed up to this moment is refused: with 400 ``ExpiredToken`` if the session
of its signer ended, with 403 "Request has expired" if the URL itself did. A URL that is signed later works, unless
``for_good``. The refusal of that first request waits for the next full second, because a signature has the time in
seconds: a URL that is signed after the refusal is therefore never taken for an older one.
``cloud.end_sessions(None)`` ends nothing.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import parse_qs

PATH = "/_sessions"
_SIGNED = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Ending:
    """The step from which on presigned URLs are refused, and what has ended."""

    kind: Literal["session", "url"]
    method: str = ""
    """Empty: any method."""

    suffix: str = ""
    """The end of the request's path; empty: any path."""

    number: int = 0
    """Which of these requests is the first to be refused."""

    for_good: bool = False
    """Whether URLs that are signed later are refused too."""


class EndingSessions:
    """An ASGI application that refuses presigned requests before another one, as S3 does."""

    def __init__(self, served: Callable[..., Awaitable[None]], *, now: Callable[[], float] = time.time) -> None:
        self._served = served
        self._now = now
        self._arm(None)

    def _arm(self, ending: Ending | None) -> None:
        self._ending = ending
        self._requests: list[tuple[str, str]] = []
        self._matched = 0
        self._refused = 0
        self._ended_at: str | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == PATH:
            if scope["method"] == "PUT":
                armed = json.loads((await receive())["body"])
                self._arm(Ending(**armed) if armed else None)
            body = json.dumps({"requests": self._requests, "refused": self._refused}).encode()
            await _answer(send, 200, "application/json", body)
            return
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        if scope["type"] == "http" and "X-Amz-Signature" in query and self._ending is not None:
            signed = query["X-Amz-Date"][0]
            if await self._is_over(self._ending, scope["method"], scope["path"], signed):
                self._refused += 1
                status, text = refusal(self._ending.kind, signed, int(query["X-Amz-Expires"][0]))
                await _answer(send, status, "application/xml", text.encode())
                return
        await self._served(scope, receive, send)

    async def _is_over(self, ending: Ending, method: str, path: str, signed: str) -> bool:
        self._requests.append((method, path))
        if self._ended_at is None:
            if ending.method not in {"", method} or not path.endswith(ending.suffix):
                return False
            self._matched += 1
            if self._matched <= ending.number:
                return False
            self._ended_at = datetime.fromtimestamp(self._now(), UTC).strftime(_SIGNED)
        if not ending.for_good and signed > self._ended_at:
            return False
        while datetime.fromtimestamp(self._now(), UTC).strftime(_SIGNED) <= self._ended_at:
            await asyncio.sleep(0.01)
        return True


def refusal(kind: str, signed: str, seconds: int) -> tuple[int, str]:
    """Return the status and the body with which S3 refuses a URL of an ended session, or an ended URL."""
    if kind == "session":
        return 400, "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
    ended = datetime.strptime(signed, _SIGNED).replace(tzinfo=UTC) + timedelta(seconds=seconds)
    return 403, (
        "<Error><Code>AccessDenied</Code><Message>Request has expired</Message>"
        f"<X-Amz-Expires>{seconds}</X-Amz-Expires><Expires>{ended:%Y-%m-%dT%H:%M:%SZ}</Expires></Error>"
    )


async def _answer(send: Any, status: int, kind: str, body: bytes) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def encoded(ending: Ending | None) -> bytes:
    """Return the body of the request that arms a server."""
    return json.dumps(None if ending is None else asdict(ending)).encode()
