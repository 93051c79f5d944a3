"""Serves the page of a run from memory on loopback, so that a browser can open it and a test can change the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from iac_ci_common import capabilities
from iac_ci_common.cached_secrets import SharedSecrets
from iac_ci_common.clock import SystemClock
from iac_ci_common.models.rows import OrderRow, RunRow
from iac_ci_common.testing import MemoryLogger, MemoryObjects, MemoryRuns, MemorySecrets
from iac_ci_page.access import Access
from iac_ci_page.act import Page, PagePorts
from iac_ci_page.http import read_request

KEY = "a page key that has more than thirty-two characters"
PREFIX = "/live/runs/"


@dataclass
class Stand:
    """A run in memory, and the address of its page."""

    runs: MemoryRuns = field(default_factory=MemoryRuns)
    objects: MemoryObjects = field(default_factory=lambda: MemoryObjects(SystemClock()))
    requested: list[str] = field(default_factory=list)
    address: str = ""

    def __post_init__(self) -> None:
        secrets = SharedSecrets(MemorySecrets({"ssm:/key": KEY, "ssm:/connections": "[]"}))
        access = Access("ssm:/key", "ssm:/connections", secrets)
        self.page = Page(PagePorts(SystemClock(), self.runs, self.objects, access, MemoryLogger()))

    def begin(self, run: RunRow, orders: Sequence[OrderRow]) -> str:
        """Insert a run; return the link to its page."""
        kept = run.model_copy(update={"expires_at": datetime.now(UTC) + timedelta(days=1), "order_count": len(orders)})
        self.runs.insert(kept, orders, [])
        ends = datetime.now(UTC) + timedelta(hours=1)
        return capabilities.link(f"{self.address}{PREFIX}", KEY, run.run_id, expires_at=ends, generation=0)

    def answer(self, target: str, cookie: str) -> Any:
        """Return API Gateway's proxy answer."""
        parts = urlsplit(target)
        run_id, _, below = parts.path.removeprefix(PREFIX).partition("/")
        self.requested.append(f"{below}?{parts.query}" if parts.query else below)
        event = {
            "pathParameters": {"run_id": run_id, "part": below},
            "queryStringParameters": dict(parse_qsl(parts.query)),
            "headers": {"cookie": cookie},
        }
        return self.page.answer(read_request(event)).as_proxy()


@contextmanager
def stand() -> Iterator[Stand]:
    """Serve a stand until the end of the block."""
    made = Stand()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = made.answer(self.path, self.headers.get("Cookie") or "")
            body = answer["body"].encode()
            self.send_response(answer["statusCode"])
            for name, value in answer["headers"].items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
