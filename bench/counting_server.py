"""MiniStack with a counter: the local cloud's server process during a benchmark.

``GET /_bench/calls`` returns the counts since the previous request, and ``GET /_bench/trace`` when each of these calls
began and ended. The counter is in the server, because workers use presigned URLs of S3 without an SDK that could count.
S3's events can be delivered late, as on AWS.
"""

from __future__ import annotations

import importlib
import json
import random
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from bench import aws_calls
from iac_ci_local.gateway import guarded
from iac_ci_local.repeated_starts import answer_repeated_starts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PATH: Final = "/_bench/calls"
TRACE_PATH: Final = "/_bench/trace"
_FIELDS: Final = (
    "calls", "failed", "bytes_sent", "bytes_got", "rows_written", "row_bytes_written", "write_units", "rows_read",
    "row_bytes_read", "read_units", "locks_left",
)  # fmt: skip


def _nothing() -> dict[str, float]:
    return dict.fromkeys(_FIELDS, 0)


class Counting:
    """An ASGI application that counts the requests to another one."""

    def __init__(self, served: Callable[..., Awaitable[None]]) -> None:
        self._served = served
        self._counts: dict[aws_calls.Call, dict[str, float]] = defaultdict(_nothing)
        self._trace: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._served(scope, receive, send)
        elif scope["path"] == PATH:
            await self._answer(send, self._taken_counts())
        elif scope["path"] == TRACE_PATH:
            taken, self._trace = self._trace, []
            await self._answer(send, taken)
        else:
            await self._count(scope, receive, send)

    def _taken_counts(self) -> list[dict[str, Any]]:
        counts, self._counts = self._counts, defaultdict(_nothing)
        return [
            {"caller": call.caller, "service": call.service, "operation": call.operation, **fields}
            for call, fields in counts.items()
        ]

    async def _answer(self, send: Any, rows: list[dict[str, Any]]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": json.dumps(rows).encode()})

    async def _count(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        call = aws_calls.name(scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers)
        if call is None:
            await self._served(scope, receive, send)
            return
        asked: list[bytes] = []
        got: list[bytes] = []
        status = 0

        async def receiving() -> Any:
            message = await receive()
            asked.append(message.get("body", b""))
            return message

        async def sending(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            got.append(message.get("body", b""))
            await send(message)

        began = time.monotonic()
        await self._served(scope, receiving, sending)
        self._trace.append(
            {
                "caller": call.caller,
                "operation": f"{call.service}.{call.operation}",
                "began": began,
                "ended": time.monotonic(),
            }
        )
        self._add(call, b"".join(asked), b"".join(got), status)

    def _add(self, call: aws_calls.Call, asked: bytes, got: bytes, status: int) -> None:
        counts = self._counts[call]
        counts["calls"] += 1
        counts["failed"] += status >= 400
        counts["bytes_sent"] += len(asked)
        counts["bytes_got"] += len(got)
        written, read = aws_calls.rows(call, asked, got)
        # A write costs one unit per kilobyte, two in a transaction; a consistent read one unit per four kilobytes
        # (Amazon DynamoDB Developer Guide, "DynamoDB read and write operations").
        price = 2 if call.operation.startswith("Transact") else 1
        counts["rows_written"] += len(written) if status < 400 else 0
        counts["row_bytes_written"] += sum(written) if status < 400 else 0
        counts["write_units"] += price * sum(-(-size // 1024) for size in written)
        counts["locks_left"] += aws_calls.leaves_lock(call, asked)
        counts["rows_read"] += len(read)
        counts["row_bytes_read"] += sum(read)
        counts["read_units"] += _read_units(call, read)


def _read_units(call: aws_calls.Call, sizes: list[int]) -> int:
    """Return what a consistent read costs: a query by the bytes of all rows, a batch by those of each."""
    if call.operation == "BatchGetItem":
        return sum(-(-size // 4096) for size in sizes)
    return max(1, -(-sum(sizes) // 4096)) if call.operation in {"Query", "GetItem"} else 0


def delayed(fire: Callable[..., None], shortest: float, longest: float) -> Callable[..., None]:
    """Return a function that delivers an event of S3 after a random time in seconds; each has a thread of its own."""

    def fire_late(*arguments: Any, **named: Any) -> None:
        time.sleep(random.uniform(shortest, longest))
        fire(*arguments, **named)

    return fire_late


def main(shortest: float, longest: float) -> None:
    """Serve MiniStack with the counter, and deliver each event of S3 after so many seconds."""
    server: Any = importlib.import_module("ministack.app")
    if longest > 0:
        s3: Any = importlib.import_module("ministack.services.s3")
        s3._fire_s3_event = delayed(s3._fire_s3_event, shortest, longest)
    answer_repeated_starts()
    server.app = Counting(guarded(server.app))
    server.main()
