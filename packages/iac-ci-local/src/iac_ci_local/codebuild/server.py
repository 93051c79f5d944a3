"""The build service of the local cloud: answers the three operations of CodeBuild that the engine uses.

MiniStack implements CodeBuild's metadata only, so the functions get this endpoint as ``AWS_ENDPOINT_URL_CODEBUILD``
(AWS CodeBuild API Reference, "StartBuild", "BatchGetBuilds", "StopBuild").

A build is a command of this user, so the server requires a token: it is the path of the endpoint, which only the
processes of this cloud know. It also refuses every Host header except its own address.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from iac_ci_local.codebuild.requests import BuildRefused
from iac_ci_local.codebuild.service import Builds
from iac_ci_local.codebuild.settings import BuildSettings
from iac_ci_local.loopback import is_own_host, is_token
from iac_ci_local.processes import adopt_orphans

_TARGET_PREFIX: Final = "CodeBuild_20161006."
_MAX_BODY_BYTES: Final = 1024 * 1024

TOKEN_VARIABLE: Final = "IAC_CI_BUILDS_TOKEN"  # noqa: S105 - a variable's name
"""The environment variable with the server's token: arguments of processes are visible to other users."""


def _unknown(_: dict[str, Any]) -> dict[str, Any]:
    raise BuildRefused("InvalidInputException", "the local cloud does not support this operation")


def request_handler(builds: Builds, token: str) -> type[BaseHTTPRequestHandler]:
    """Return the handler class of a server for ``builds`` that accepts requests to ``/<token>`` only."""
    operations = {
        "StartBuild": builds.start,
        "BatchGetBuilds": builds.get,
        "StopBuild": builds.stop,
        "LocalDefineProject": builds.project,
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Else the body of an answer waits 40 ms for the acknowledgement of its headers.
        disable_nagle_algorithm = True
        timeout = 60

        def do_POST(self) -> None:  # the name that http.server calls
            if not self._is_allowed():
                # The body is not read, so the connection cannot be used again.
                self.close_connection = True
                self._answer(403, {"__type": "AccessDeniedException", "message": "wrong token or host name"})
                return
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > _MAX_BODY_BYTES:
                self.close_connection = True
                self._answer(413, {"__type": "InvalidInputException", "message": f"at most {_MAX_BODY_BYTES} bytes"})
                return
            body = self.rfile.read(int(length))
            operation = operations.get(self.headers.get("X-Amz-Target", "").removeprefix(_TARGET_PREFIX), _unknown)
            try:
                self._answer(200, operation(json.loads(body)))
            except BuildRefused as refused:
                self._answer(400, {"__type": refused.kind, "message": str(refused)})
            except (KeyError, TypeError, ValueError) as error:
                self._answer(400, {"__type": "InvalidInputException", "message": repr(error)})

        def _is_allowed(self) -> bool:
            port: int = self.server.server_address[1]  # type: ignore[index,assignment]
            return is_own_host(self.headers.get("Host", ""), port) and is_token(self.path.strip("/"), token)

        def _answer(self, status: int, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Write nothing: the log is for errors."""

    return Handler


def main() -> None:
    """Serve on the listening socket with the descriptor in the first argument.

    The second argument is the working folder, the third the settings as JSON.
    """
    adopt_orphans()
    token = os.environ.pop(TOKEN_VARIABLE)
    listening = socket.socket(fileno=int(sys.argv[1]))
    builds = Builds(Path(sys.argv[2]), BuildSettings(**json.loads(sys.argv[3])))
    server = ThreadingHTTPServer(listening.getsockname(), request_handler(builds, token), bind_and_activate=False)
    server.socket.close()
    server.socket = listening
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
