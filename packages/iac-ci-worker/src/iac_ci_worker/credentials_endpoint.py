"""Serves an order's credentials to its commands, on loopback: those of its role, and tokens for git.

The SDKs of AWS and Terraform read ``AWS_CONTAINER_CREDENTIALS_FULL_URI``, which may be ``http`` on loopback, and send
what is in the file of ``AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`` as the header ``Authorization`` (AWS SDKs and Tools
Reference Guide, "Container credential provider"). They ask again before the time of ``Expiration``. git's credential
helper posts what git asks (git-credential(1), "Input/output format").
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

    from iac_ci_worker.git_tokens import LivingGitTokens
    from iac_ci_worker.role_credentials import LivingCredentials

_HOST: Final = "127.0.0.1"
_ROLE_PATH: Final = "/credentials"
_GIT_PATH: Final = "/git"
_REQUEST_SECONDS: Final = 5.0
_CONNECTIONS: Final = 16
"""Connections that are served at once; others wait. The worker has 1,024 descriptors on Lambda, and needs some."""

_MOST_ASKED_BYTES: Final = 8192
"""Longest question of git that is read."""

_REFUSED: Final = (
    "the request has not the order's token, which is in the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE; for a tool"
    " that reads no container credentials, set `credentials: environment` in the order"
)


class CredentialsServer(ThreadingHTTPServer):
    """Serves credentials of a role, tokens for git, or both, to requests with the order's token."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, token: str, *, role: LivingCredentials | None = None, git: LivingGitTokens | None = None
    ) -> None:
        """Listen on a free port; serve nothing until ``serving``."""
        super().__init__((_HOST, 0), _Handler)
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        self.token, self.role, self.git = token, role, git

    @property
    def role_url(self) -> str:
        """Return the address of the role's credentials."""
        return f"http://{_HOST}:{self.server_port}{_ROLE_PATH}"

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Serve until the context ends."""
        thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="credentials", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            self.server_close()
            thread.join()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread; what waits for one waits in the kernel's queue."""
        if not self._free.acquire(timeout=_REQUEST_SECONDS):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Write nothing: a command may close its connection at any moment."""


def new_token() -> str:
    """Return a new token for one order; it is a valid value of a header."""
    return secrets.token_urlsafe(32)


class _Handler(BaseHTTPRequestHandler):
    timeout = _REQUEST_SECONDS
    server: CredentialsServer

    def do_GET(self) -> None:  # the name that http.server calls
        role = self.server.role
        if not self._is_for(_ROLE_PATH) or role is None:
            self._answer_json(404, {"code": "NotFound", "message": "there is nothing here"})
        elif not self._is_allowed():
            self._answer_json(401, {"code": "Unauthorized", "message": _REFUSED})
        else:
            self._serve_role(role)

    def do_POST(self) -> None:  # the name that http.server calls
        git, length = self.server.git, self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_ASKED_BYTES:
            self._answer(413, "text/plain", f"at most {_MOST_ASKED_BYTES} bytes")
            return
        # Read before a refusal too: a connection that is closed on unread bytes may lose the answer.
        lines = self.rfile.read(int(length)).decode("utf-8", "replace").splitlines()
        if not self._is_for(_GIT_PATH) or git is None or not self._is_allowed():
            self._answer(403, "text/plain", "the request has not the order's token")
            return
        found, problem = git.answer(dict(line.split("=", 1) for line in lines if "=" in line))
        if found is None:
            self._answer(404, "text/plain", problem)
        else:
            self._answer(200, "text/plain", f"username={found.username}\npassword={found.token}\n")

    def _is_for(self, path: str) -> bool:
        return self.headers.get("Host") == f"{_HOST}:{self.server.server_port}" and self.path == path

    def _is_allowed(self) -> bool:
        return hmac.compare_digest(self.headers.get("Authorization", "").encode(), self.server.token.encode())

    def _serve_role(self, role: LivingCredentials) -> None:
        try:
            found = role.current()
        except IacCiError as error:
            self._answer_json(503, {"code": "NoCredentials", "message": error.message})
            return
        self._answer_json(
            200,
            {
                "AccessKeyId": found.access_key_id,
                "SecretAccessKey": found.secret_access_key,
                "Token": found.session_token,
                "Expiration": found.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
        )

    def _answer_json(self, status: int, answer: dict[str, str]) -> None:
        self._answer(status, "application/json", json.dumps(answer))

    def _answer(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Return the header ``Server``, without the versions of this process."""
        return "iac-ci"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Write nothing: the log is for errors."""


__all__ = ["CredentialsServer", "new_token"]
