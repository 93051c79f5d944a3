"""The code host's HTTP server, on loopback only."""

from __future__ import annotations

import re
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Self

from iac_ci_common.errors import IacCiError, PortFailed
from iac_ci_local.fake_hosts import git_backend
from iac_ci_local.fake_hosts.failures import Alterations, Failure, FailureKind, Failures
from iac_ci_local.fake_hosts.github.shape import GitHub
from iac_ci_local.fake_hosts.messages import Answer, RecordedRequest, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iac_ci_local.fake_hosts.project import Project
    from iac_ci_local.fake_hosts.shape import Shape

_ADDRESS: Final = "127.0.0.1"
_MOST_BYTES: Final = 16 * 1024 * 1024
_SILENT_SECONDS: Final = 60
_SECRET_HEADERS: Final = frozenset({"authorization", "cookie"})


class CodeHostServer:
    """A host of one project that behaves like GitHub or another host: REST API, git and pages.

    Use as a context manager; the recorded requests stay readable after its end.
    """

    def __init__(
        self,
        project: Project,
        *,
        shape: type[Shape] = GitHub,
        port: int = 0,
        pages: Callable[[CodeHostServer], Callable[[Request], Answer | None]] | None = None,
    ) -> None:
        """Listen on ``port`` of 127.0.0.1; 0 chooses a free one.

        ``pages`` gets the listening host and returns a function that answers requests for pages; None becomes 404.
        Raises ``PortFailed`` if the port is taken or git is not installed.
        """
        self.project = project
        self.failures = Failures()
        self.alterations = Alterations()
        self._recorded: list[RecordedRequest] = []
        self._lock = threading.Lock()
        self._backend = git_backend.backend()
        # GitHub serves a repository with and without the suffix ``.git``; git does not add it.
        name = re.escape(project.full_name)
        self._git_path = re.compile(rf"/{name}(?:\.git)?(/info/refs|/git-[a-z-]+|/HEAD|/objects/.+)", re.IGNORECASE)
        host = self

        class Handler(_Handler):
            code_host = host

        try:
            self._server = _Server((_ADDRESS, port), Handler)
        except OSError as error:
            raise PortFailed(f"cannot listen on {_ADDRESS}:{port}: {error.strerror}") from error
        self.shape: Shape = shape(project, self.url)
        self._pages = pages(self) if pages is not None else None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        """Start to answer requests."""
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the server."""
        self.close()

    @property
    def address(self) -> str:
        """Host and port, the host's name in the engine's list of code hosts."""
        return f"{_ADDRESS}:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """URL of the pages."""
        return f"http://{self.address}"

    @property
    def api_url(self) -> str:
        """URL of the API."""
        return f"{self.url}{self.shape.root}"

    @property
    def repository(self) -> str:
        """The repository's address as the engine knows it; it says ``https``, but the host serves ``http``."""
        return f"https://{self.address}/{self.project.full_name}"

    @property
    def recorded(self) -> list[RecordedRequest]:
        """The recorded requests and answers, in order, without tokens."""
        with self._lock:
            return list(self._recorded)

    def fail_next(
        self, status: int, headers: Mapping[str, str] | None = None, *, times: int = 1, message: str = ""
    ) -> None:
        """Refuse the next ``times`` requests to the API."""
        self.failures.plan(Failure(FailureKind.ANSWER, status, headers or {}, message), times)

    def cut_next(self, *, times: int = 1) -> None:
        """Carry out the next ``times`` requests to the API, and cut their answers in half."""
        self.failures.plan(Failure(FailureKind.CUT), times)

    def hold_next(self, *, times: int = 1) -> threading.Event:
        """Hold the next ``times`` requests to the API until the returned event is set or the server closes."""
        self.failures.plan(Failure(FailureKind.HOLD), times)
        return self.failures.released

    def close(self) -> None:
        """Stop the server; a second call does nothing."""
        self.failures.released.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def answer(self, request: Request) -> tuple[Answer, bool]:
        """Return the answer to a request, and whether to cut it off."""
        if request.headers.get("host") not in {self.address, f"localhost:{self.address.partition(':')[2]}"}:
            # DNS rebinding: a page of another site whose name resolves to 127.0.0.1 must not act as the user.
            return Answer(
                421, b"unknown host name: use the address that iac-ci printed", {"Content-Type": "text/plain"}
            ), False
        page = self._pages(request) if self._pages is not None else None
        if page is not None:
            # Pages are not recorded, because a browser requests them every second.
            return page, False
        failure = self.failures.next() if request.path.startswith(f"{self.shape.root}/") else None
        if failure is not None and failure.kind is FailureKind.ANSWER:
            answer = self.shape.refusal(failure.status, failure.message or "failed on purpose", failure.headers)
        else:
            if failure is not None and failure.kind is FailureKind.HOLD:
                self.failures.released.wait()
            try:
                answer = self._route(request)
            except IacCiError as error:
                answer = self.shape.refusal(500, error.message)
        cut = failure is not None and failure.kind is FailureKind.CUT
        self._record(RecordedRequest(_without_secrets(request), None if cut else answer))
        return answer, cut

    def _route(self, request: Request) -> Answer:
        path = request.path
        if self.shape.serves(path):
            answer = self.alterations.altered(request, self.shape.answer(request))
            return self.shape.with_limits(answer, spent=len(self._recorded))
        rest = self._git_path.fullmatch(path)
        if rest is not None:
            folder = self.project.repository.folder
            return git_backend.serve(
                self._backend, folder, rest[1], request, lambda token: self.project.speaker(token) is not None
            )
        return Answer(404, b"not found", {"Content-Type": "text/plain"})

    def _record(self, recorded: RecordedRequest) -> None:
        with self._lock:
            self._recorded.append(recorded)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore callers that disconnect early; print every other error."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    code_host: CodeHostServer
    protocol_version = "HTTP/1.1"
    # Else the body of an answer waits 40 ms for the acknowledgement of its headers.
    disable_nagle_algorithm = True
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

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = _answer  # noqa: N815 - names of the library

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunks()
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 <= length <= _MOST_BYTES:
            raise ValueError(f"the body exceeds {_MOST_BYTES} bytes")
        return self.rfile.read(length)

    def _chunks(self) -> bytes:
        body = bytearray()
        while size := int(self.rfile.readline(64).split(b";")[0], 16):
            if len(body) + size > _MOST_BYTES:
                raise ValueError(f"the body exceeds {_MOST_BYTES} bytes")
            body += self.rfile.read(size)
            self.rfile.readline(64)
        self.rfile.readline(64)
        return bytes(body)

    def log_message(self, *arguments: Any) -> None:
        """Write nothing: requests are recorded instead."""


def _without_secrets(request: Request) -> Request:
    kept = {name: value for name, value in request.headers.items() if name not in _SECRET_HEADERS}
    return Request(request.method, request.target, kept, request.body)


__all__ = ["CodeHostServer"]
