"""MiniStack with a counter: the local cloud's server process during a benchmark.

``GET /_bench/calls`` returns the counts since the previous request. The counter is in the server, because workers use
presigned URLs of S3 without an SDK that could count.
"""

from __future__ import annotations

import importlib
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from bench import aws_calls
from iac_ci_local.gateway import guarded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PATH: Final = "/_bench/calls"
_FIELDS: Final = (
    "calls", "failed", "bytes_sent", "bytes_got", "rows_written", "row_bytes_written", "write_units", "rows_read",
    "row_bytes_read", "read_units",
)  # fmt: skip


def _nothing() -> dict[str, float]:
    return dict.fromkeys(_FIELDS, 0)


class Counting:
    """An ASGI application that counts the requests to another one."""

    def __init__(self, served: Callable[..., Awaitable[None]]) -> None:
        self._served = served
        self._counts: dict[aws_calls.Call, dict[str, float]] = defaultdict(_nothing)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._served(scope, receive, send)
        elif scope["path"] == PATH:
            await self._answer(send)
        else:
            await self._count(scope, receive, send)

    async def _answer(self, send: Any) -> None:
        counts, self._counts = self._counts, defaultdict(_nothing)
        rows = [
            {"caller": call.caller, "service": call.service, "operation": call.operation, **fields}
            for call, fields in counts.items()
        ]
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

        await self._served(scope, receiving, sending)
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
        counts["rows_read"] += len(read)
        counts["row_bytes_read"] += sum(read)
        counts["read_units"] += max(1, -(-sum(read) // 4096)) if call.operation in {"Query", "GetItem"} else 0


def main() -> None:
    """Serve MiniStack with the counter."""
    server: Any = importlib.import_module("ministack.app")
    server.app = Counting(guarded(server.app))
    server.main()
