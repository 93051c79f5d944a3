"""The code host as an HTTP server on this machine, and on no other."""

from __future__ import annotations

import re
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Self

from iac_ci_common.errors import IacCiError, PortFailed
from iac_ci_local.fake_github import git_backend
from iac_ci_local.fake_github.api import ROOT, Api, with_limits
from iac_ci_local.fake_github.failures import Failure, FailureKind, Failures
from iac_ci_local.fake_github.messages import Answer, Exchange, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iac_ci_local.fake_github.project import Project

_ADDRESS: Final = "127.0.0.1"
_MOST_BYTES: Final = 10 * 1024 * 1024
_SILENT_SECONDS: Final = 60
_SECRET_HEADERS: Final = frozenset({"authorization", "cookie"})


class CodeHostServer:
    """A host of one project that behaves like GitHub: REST API, git, and room for pages.

    Used as a context manager; what its API and git were asked stays readable after its end.
    """

    def __init__(
        self,
        project: Project,
        *,
        port: int = 0,
        pages: Callable[[CodeHostServer], Callable[[Request], Answer | None]] | None = None,
    ) -> None:
        """Listen on ``port`` of 127.0.0.1, on a free one for 0.

        ``pages`` makes, of the listening host, what answers requests for pages; its None is answered with 404. Raises
        ``PortFailed`` where the port is taken or git cannot serve.
        """
        self.project = project
        self.failures = Failures()
        self._exchanges: list[Exchange] = []
        self._lock = threading.Lock()
        self._backend = git_backend.backend()
        # GitHub serves a repository with and without the suffix; git adds none.
        name = re.escape(project.full_name)
        self._git_path = re.compile(rf"/{name}(?:\.git)?(/info/refs|/git-[a-z-]+|/HEAD|/objects/.+)", re.IGNORECASE)
        host = self

        class Handler(_Handler):
            code_host = host

        try:
            self._server = _Server((_ADDRESS, port), Handler)
        except OSError as error:
            raise PortFailed(f"port {port} of {_ADDRESS} cannot be listened on: {error.strerror}") from error
        self._api = Api(project, self.url)
        self._pages = pages(self) if pages is not None else None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """End with ``close``."""
        self.close()

    @property
    def address(self) -> str:
        """Return host and port, by which the engine's list of code hosts names it."""
        return f"{_ADDRESS}:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """Return where its pages are."""
        return f"http://{self.address}"

    @property
    def api_url(self) -> str:
        """Return where its API is."""
        return f"{self.url}{ROOT}"

    @property
    def repository(self) -> str:
        """Return the repository's address as the engine knows it; ``https`` by name only."""
        return f"https://{self.address}/{self.project.full_name}"

    @property
    def exchanges(self) -> list[Exchange]:
        """List what was asked and answered, in order, without the tokens."""
        with self._lock:
            return list(self._exchanges)

    def fail_next(
        self, status: int, headers: Mapping[str, str] | None = None, *, times: int = 1, message: str = ""
    ) -> None:
        """Refuse the next requests to the API."""
        self.failures.plan(Failure(FailureKind.ANSWER, status, headers or {}, message), times)

    def cut_next(self, *, times: int = 1) -> None:
        """Carry out the next requests to the API, and break off in the middle of the answer."""
        self.failures.plan(Failure(FailureKind.CUT), times)

    def hold_next(self, *, times: int = 1) -> threading.Event:
        """Leave the next requests to the API without an answer until the event is set or the host closes."""
        self.failures.plan(Failure(FailureKind.HOLD), times)
        return self.failures.released

    def close(self) -> None:
        """Stop answering; does nothing the second time."""
        self.failures.released.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def answer(self, request: Request) -> tuple[Answer, bool]:
        """Answer a request, and say whether the answer breaks off."""
        if request.headers.get("host") not in {self.address, f"localhost:{self.address.partition(':')[2]}"}:
            # A page of somebody else's whose name was made to lead here must not speak for the user.
            return Answer(421, b"this host goes by another name", {"Content-Type": "text/plain"}), False
        page = self._pages(request) if self._pages is not None else None
        if page is not None:
            # Not remembered: a browser asks for it every second.
            return page, False
        failure = self.failures.next() if request.path.startswith(f"{ROOT}/") else None
        if failure is not None and failure.kind is FailureKind.ANSWER:
            answer = Answer.refusal(failure.status, failure.message or "failed on purpose", failure.headers)
        else:
            if failure is not None and failure.kind is FailureKind.HOLD:
                self.failures.released.wait()
            try:
                answer = self._route(request)
            except IacCiError as error:
                answer = Answer.refusal(500, error.message)
        cut = failure is not None and failure.kind is FailureKind.CUT
        self._remember(Exchange(_without_secrets(request), None if cut else answer))
        return answer, cut

    def _route(self, request: Request) -> Answer:
        path = request.path
        if path.startswith(f"{ROOT}/"):
            return with_limits(self._api.answer(request), spent=len(self._exchanges))
        rest = self._git_path.fullmatch(path)
        if rest is not None:
            folder = self.project.repository.folder
            return git_backend.serve(
                self._backend, folder, rest[1], request, lambda token: self.project.speaker(token) is not None
            )
        return Answer(404, b"not found", {"Content-Type": "text/plain"})

    def _remember(self, exchange: Exchange) -> None:
        with self._lock:
            self._exchanges.append(exchange)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave out what a caller does who goes away early; anything else is a fault of this server's, and is shown."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    code_host: CodeHostServer
    protocol_version = "HTTP/1.1"
    server_version = "code-host"
    timeout = _SILENT_SECONDS

    def _answer(self) -> None:
        try:
            body = self._body()
        except ValueError:
            self.close_connection = True
            self.send_error(400)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer, cut = self.code_host.answer(Request(self.command, self.path, headers, body))
        with suppress(ConnectionError):
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 304:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if cut:
                self.close_connection = True
                self.wfile.write(answer.body[: len(answer.body) // 2])
            elif self.command != "HEAD":
                self.wfile.write(answer.body)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = _answer  # noqa: N815 - names given by the library

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunks()
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 <= length <= _MOST_BYTES:
            raise ValueError("too long a body")
        return self.rfile.read(length)

    def _chunks(self) -> bytes:
        body = bytearray()
        while size := int(self.rfile.readline(64).split(b";")[0], 16):
            if len(body) + size > _MOST_BYTES:
                raise ValueError("too long a body")
            body += self.rfile.read(size)
            self.rfile.readline(64)
        self.rfile.readline(64)
        return bytes(body)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing: requests are remembered instead."""


def _without_secrets(request: Request) -> Request:
    kept = {name: value for name, value in request.headers.items() if name not in _SECRET_HEADERS}
    return Request(request.method, request.target, kept, request.body)


__all__ = ["CodeHostServer"]
