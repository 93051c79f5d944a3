"""Stands between a program and the local AWS: holds each request to the service models, and forwards it."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aws.decoding import decode
from aws.hook import held_requests

if TYPE_CHECKING:
    from collections.abc import Iterator


class Held:
    """The requests that passed: how often each operation, which broke the models, and which no model describes."""

    def __init__(self) -> None:
        self.operations: Counter[str] = Counter()
        self.problems: set[str] = set()
        self.unknown: Counter[str] = Counter()

    def take(self, method: str, url: str, headers: dict[str, str], body: bytes) -> None:
        """Hold one request."""
        try:
            decoded = decode(method, url, headers, body)
        except Exception as error:  # noqa: BLE001 - a request that cannot be read is counted, not lost
            self.unknown[f"{method} {urlsplit(url).path} ({error!r:.80})"] += 1
            return
        if decoded is None:
            self.unknown[f"{method} {urlsplit(url).path}"] += 1
            return
        name = f"{decoded.service}:{decoded.operation}"
        self.operations[name] += 1
        if decoded.shape is not None:
            self.problems |= {
                f"{name} {problem}" for problem in held_requests.problems(decoded.shape, decoded.parameters)
            }


def _mended(target: str, body: bytes) -> bytes:
    """Return a body that the local AWS understands: it knows projects of CodeBuild by their names only."""
    if target.endswith(".DeleteProject"):
        request = json.loads(body)
        return json.dumps({**request, "name": request["name"].rpartition("/")[2]}).encode()
    return body


@contextmanager
def recording(endpoint: str) -> Iterator[tuple[str, Held]]:
    """Serve on loopback; give the address and what passed."""
    held, upstream = Held(), urlsplit(endpoint).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Else the body of an answer waits 40 ms for the acknowledgement of its headers.
        disable_nagle_algorithm = True

        def _forward(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self._chunks() if "chunked" in self.headers.get("Transfer-Encoding", "") else self.rfile.read(length)
            held.take(self.command, self.path, dict(self.headers), body)
            body = _mended(self.headers.get("X-Amz-Target", ""), body)
            dropped = {"host", "content-length", "transfer-encoding", "connection"}
            headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
            connection = http.client.HTTPConnection(upstream, timeout=300)
            connection.request(
                self.command, self.path, body, {**headers, "Host": upstream, "Content-Length": str(len(body))}
            )
            answer = connection.getresponse()
            content = answer.read()
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            if self.command == "HEAD":
                self.send_header("Content-Length", answer.getheader("Content-Length") or "0")
            else:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        def _chunks(self) -> bytes:
            content = b""
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content

        def log_message(self, *arguments: Any) -> None:
            pass

    for method in ("GET", "PUT", "POST", "DELETE", "HEAD", "PATCH"):
        setattr(Handler, f"do_{method}", Handler._forward)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", held
        finally:
            server.shutdown()
