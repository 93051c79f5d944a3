"""Serves the credentials of an order's role to its commands, on loopback, in the form of a container's credentials.

The SDKs of AWS and Terraform read ``AWS_CONTAINER_CREDENTIALS_FULL_URI``, which may be ``http`` on loopback, and send
what is in the file of ``AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`` as the header ``Authorization`` (AWS SDKs and Tools
Reference Guide, "Container credential provider"). They ask again before the time of ``Expiration``.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.errors import IacCiError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from iac_ci_worker.role_credentials import LivingCredentials

_HOST: Final = "127.0.0.1"
_PATH: Final = "/credentials"
_REQUEST_SECONDS: Final = 5.0
_CONNECTIONS: Final = 16
"""Connections that are served at once; others wait. The worker has 1,024 descriptors on Lambda, and needs some."""

_REFUSED: Final = (
    "the request has not the order's token, which is in the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE; for a tool"
    " that reads no container credentials, set `credentials: environment` in the order"
)


@contextlib.contextmanager
def serve_credentials(credentials: LivingCredentials, token: str, token_file: Path) -> Iterator[dict[str, str]]:
    """Serve until the context ends; yield the variables by which the SDKs find the credentials.

    ``token_file`` is written before this and holds ``token``.
    """
    server = _Server(credentials, token)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="credentials", daemon=True)
    thread.start()
    try:
        yield {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{_HOST}:{server.server_port}{_PATH}",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token_file),
            # For tools of before 2024, among them Terraform up to 1.7, whose backend reads no file
            # (hashicorp/terraform-provider-aws#35857). Where both are set, SDKs prefer the file, which holds the same.
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
        }
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def new_token() -> str:
    """Return a new token for one order; it is a valid value of a header."""
    return secrets.token_urlsafe(32)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, credentials: LivingCredentials, token: str) -> None:
        super().__init__((_HOST, 0), _Handler)
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        self.credentials, self.token = credentials, token

    def process_request(self, request: Any, client_address: Any) -> None:
        # What waits here waits in the kernel's queue, and `shutdown` waits for at most one request's time.
        if not self._free.acquire(timeout=_REQUEST_SECONDS):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Write nothing: a command may close its connection at any moment."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _REQUEST_SECONDS
    server: _Server

    def do_GET(self) -> None:  # the name that http.server calls
        if self.headers.get("Host") != f"{_HOST}:{self.server.server_port}" or self.path != _PATH:
            self._answer(404, {"code": "NotFound", "message": "there is nothing here"})
        elif not hmac.compare_digest(self.headers.get("Authorization", "").encode(), self.server.token.encode()):
            self._answer(401, {"code": "Unauthorized", "message": _REFUSED})
        else:
            self._serve()

    def _serve(self) -> None:
        try:
            found = self.server.credentials.current()
        except IacCiError as error:
            self._answer(503, {"code": "NoCredentials", "message": error.message})
            return
        self._answer(
            200,
            {
                "AccessKeyId": found.access_key_id,
                "SecretAccessKey": found.secret_access_key,
                "Token": found.session_token,
                "Expiration": found.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
        )

    def _answer(self, status: int, answer: dict[str, str]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Return the header ``Server``, without the versions of this process."""
        return "iac-ci"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Write nothing: the log is for errors."""


__all__ = ["new_token", "serve_credentials"]
