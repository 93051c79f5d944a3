"""The endpoint from which a build's processes get the credentials of the service role.

On AWS it is ``http://169.254.170.2/v2/credentials/<id>``; the id in its path is all that protects it. That address is
not one of this machine, so builds get the whole address, on loopback, in ``AWS_CONTAINER_CREDENTIALS_FULL_URI``, where
AWS sets ``AWS_CONTAINER_CREDENTIALS_RELATIVE_URI``.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from iac_ci_local.loopback import is_own_host

_RENEW_SECONDS: Final = 600.0
_PATH: Final = "/v2/credentials/"


@dataclass(slots=True)
class CredentialsEndpoint:
    """Serves credentials of roles on loopback, each role at an address of its own, until this process ends."""

    _roles: dict[str, str] = field(default_factory=dict)
    _sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    _server: ThreadingHTTPServer | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, role_arn: str) -> str:
        """Return a new address that serves credentials of the role."""
        with self._lock:
            if self._server is None:
                self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
                self._server.daemon_threads = True
                threading.Thread(target=self._server.serve_forever, daemon=True).start()
            identifier = str(uuid.uuid4())
            self._roles[identifier] = role_arn
            return f"http://127.0.0.1:{self._server.server_port}{_PATH}{identifier}"

    def close(self, address: str) -> None:
        """Stop serving an address."""
        with self._lock:
            identifier = address.rpartition("/")[2]
            self._roles.pop(identifier, None)
            self._sessions.pop(identifier, None)

    def credentials(self, identifier: str) -> dict[str, Any] | None:
        """Return the credentials at an address, renewed ten minutes before their end; None for an unknown address."""
        import boto3

        with self._lock:
            role_arn = self._roles.get(identifier)
            if role_arn is None:
                return None
            known = self._sessions.get(identifier)
            if known is None or known["ends"] - time.time() < _RENEW_SECONDS:
                # A build's role is assumed by CodeBuild, for an hour.
                session = boto3.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="AWSCodeBuild")[
                    "Credentials"
                ]
                known = {
                    "ends": session["Expiration"].timestamp(),
                    "answer": {
                        "RoleArn": role_arn,
                        "AccessKeyId": session["AccessKeyId"],
                        "SecretAccessKey": session["SecretAccessKey"],
                        "Token": session["SessionToken"],
                        "Expiration": session["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
                    },
                }
                self._sessions[identifier] = known
            answer: dict[str, Any] = known["answer"]
            return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 60

            def do_GET(self) -> None:  # the name that http.server calls
                port: int = self.server.server_address[1]  # type: ignore[index,assignment]
                own = is_own_host(self.headers.get("Host", ""), port) and self.path.startswith(_PATH)
                found = endpoint.credentials(self.path.removeprefix(_PATH)) if own else None
                body = json.dumps({"message": "not found"} if found is None else found).encode()
                self.send_response(404 if found is None else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Write nothing: the path is a secret."""

        return Handler


__all__ = ["CredentialsEndpoint"]
