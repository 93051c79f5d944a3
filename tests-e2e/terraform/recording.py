"""Takes down what the local cloud asks of AWS when it makes a stack, in the place of AWS."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from iac_ci_local.stack import StackBuilder

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_ARN = "arn:aws:kms:eu-central-1:123456789012:key/of-the-local-cloud"
_ANSWERS: dict[str, Any] = {
    "create_key": {"KeyMetadata": {"Arn": KEY_ARN}},
    "create_rest_api": {"id": "api"},
    "get_resources": {"items": [{"id": "root"}]},
    "create_resource": {"id": "webhook"},
}


@dataclass
class Recording:
    """Every request of one build, by the name of the call."""

    account: str
    endpoint: str = "http://localhost"
    builds_endpoint: str = ""
    requests: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def client(self, service: str) -> Recording:
        """Be the client of any service."""
        return self

    def __getattr__(self, call: str) -> Callable[..., Any]:
        if call.startswith("_"):
            raise AttributeError(call)

        def answer(**request: Any) -> Any:
            self.requests.setdefault(call, []).append(request)
            return _ANSWERS.get(call, {})

        return answer

    def of(self, call: str, key: str) -> dict[str, dict[str, Any]]:
        """Return the requests of one call by one of their fields."""
        return {request[key]: request for request in self.requests[call]}


def record(stack: str, account: str, region: str, **settings: Any) -> tuple[Recording, StackBuilder]:
    """Let the local cloud make a stack, as if it stood in ``region``, and give its requests."""
    recording = Recording(account)

    class Builds(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            recording.requests.setdefault("define_project", []).append(json.loads(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Builds) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        recording.builds_endpoint = f"http://127.0.0.1:{server.server_port}"
        builder = StackBuilder(recording, stack=stack, **settings)  # type: ignore[arg-type]
        builder.names = type(builder.names)(stack, account, region)
        builder.create()
        server.shutdown()
    return recording, builder
