"""A Lambda runtime API for one container, and beside it the few AWS answers that its function needs.

AWS Lambda Developer Guide, "Using the Lambda runtime API for custom runtimes".
"""

from __future__ import annotations

import json
import queue
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION: Final = "/2018-06-01/runtime"
_FUNCTION_ARN: Final = "arn:aws:lambda:eu-central-1:123456789012:function:tested"
_SECONDS: Final = 600
_FUNCTION_SECONDS: Final = 600
"""The worker function's time-out (`functions.json`): a worker stops its commands before its function ends."""


class Answer(NamedTuple):
    """What a function made of an event; ``kind`` is ``response``, ``error``, ``init/error`` or ``ended``."""

    kind: str
    content: Any


class RuntimeApi:
    """Hands out events one by one and takes the answers; knows the parameters that it is given."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        events: queue.Queue[Any] = queue.Queue()
        answers: queue.Queue[Answer] = queue.Queue()
        self._events, self._answers, self._calls = events, answers, 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Else the body of an answer waits 40 ms for the acknowledgement of its headers.
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                if self.path != f"{_VERSION}/invocation/next":
                    return self._reply(404, {})
                number, event = events.get()
                return self._reply(
                    200,
                    event,
                    {
                        "Lambda-Runtime-Aws-Request-Id": f"call-{number}",
                        "Lambda-Runtime-Deadline-Ms": str(int((time.time() + _FUNCTION_SECONDS) * 1000)),
                        "Lambda-Runtime-Invoked-Function-Arn": _FUNCTION_ARN,
                        "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0",
                        "Content-Type": "application/json",
                    },
                )

            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
                target = self.headers.get("X-Amz-Target")
                if target is not None:
                    return self._reply(*_parameter(parameters, target, content))
                answers.put(Answer(self.path.removeprefix(f"{_VERSION}/").split("/", 2)[-1], content))
                return self._reply(202, {"status": "OK"})

            def _reply(self, status: int, content: Any, headers: Mapping[str, str] | None = None) -> None:
                body = json.dumps(content).encode()
                with suppress(ConnectionError):
                    self.send_response(status)
                    for name, value in ((headers or {}) | {"Content-Length": str(len(body))}).items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def ended(self, code: str) -> None:
        """Record that the container has ended, so that no caller waits for its answer."""
        self._answers.put(Answer("ended", code))

    def invoke(self, event: Any) -> Answer:
        """Hand out an event and wait for the answer; raises ``queue.Empty`` where none comes."""
        self._calls += 1
        self._events.put((self._calls, event))
        return self._answers.get(timeout=_SECONDS)


def _parameter(parameters: Mapping[str, str], target: str, asked: Any) -> tuple[int, Any]:
    if target == "AmazonSSM.GetParameter" and asked["Name"] in parameters:
        return 200, {"Parameter": {"Name": asked["Name"], "Value": parameters[asked["Name"]]}}
    return 400, {"__type": "ParameterNotFound" if target == "AmazonSSM.GetParameter" else "UnknownOperation"}
