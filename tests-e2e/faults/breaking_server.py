"""MiniStack with a saboteur before it: one call of one function goes wrong, botocore's retries of it included.

``PUT /_faults`` with ``{"caller", "what", "call", "kind"}`` arms it and begins to count anew; ``GET /_faults`` gives
the calls since, in their order, and which one was hit.
"""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from bench import aws_calls

from faults import ending_sessions
from faults.ending_sessions import EndingSessions
from iac_ci_local.functions import limits
from iac_ci_local.repeated_starts import answer_repeated_starts

PATH = "/_faults"


class Breaking:
    """An ASGI application that lets one call go wrong on its way to another."""

    def __init__(self, served: Callable[..., Awaitable[None]]) -> None:
        self._served = served
        self._arm({})

    def _arm(self, fault: dict[str, Any]) -> None:
        self._fault = fault
        self._seen: list[dict[str, str]] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._attempts: dict[str, bool] = {}
        self._hit: str | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] == ending_sessions.PATH:
            await self._served(scope, receive, send)
            return
        if scope["path"] == PATH:
            if scope["method"] == "PUT":
                self._arm(json.loads((await receive())["body"]))
            await self._answer(send, 200, json.dumps({"calls": self._seen, "hit": self._hit}).encode())
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        call = aws_calls.name(scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers)
        if call is None or not self._goes_wrong(call, headers):
            await self._served(scope, receive, send)
        elif self._fault["kind"] == "lost":
            await self._served(scope, receive, self._swallow)
            await self._answer(send, 500, b"")
        else:
            await self._answer(send, 503, b'{"__type": "ThrottlingException", "message": "slow down"}')

    def _goes_wrong(self, call: aws_calls.Call, headers: dict[str, str]) -> bool:
        # All attempts at one call bear one id; what workers send by presigned URLs bears none, and is retried by them.
        attempt = headers.get("amz-sdk-invocation-id", "")
        if attempt in self._attempts:
            return self._attempts[attempt]
        what = f"{call.service}.{call.operation}"
        number = self._counts[call.caller, what]
        self._counts[call.caller, what] += 1
        self._seen.append({"caller": call.caller, "what": what})
        armed = (self._fault.get("caller"), self._fault.get("what"), self._fault.get("call"))
        wrong = (call.caller, what, number) == armed
        if wrong:
            self._hit = what
        if attempt:
            self._attempts[attempt] = wrong
        return wrong

    async def _swallow(self, message: Any) -> None:
        del message

    async def _answer(self, send: Any, status: int, body: bytes) -> None:
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve MiniStack, sabotaged."""
    served = limits.apply()
    answer_repeated_starts()
    server: Any = importlib.import_module("ministack.app")
    server.app = Breaking(EndingSessions(served))
    server.main()
