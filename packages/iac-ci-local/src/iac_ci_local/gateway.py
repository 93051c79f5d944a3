"""MiniStack behind a gateway: the server process of a local cloud.

MiniStack treats well-known access keys, account numbers and unsigned requests as the account's root, without checking a
signature. Root can create a Lambda function, which is a program of this user, so any user of the machine and any web
page could run commands. The gateway lets root in by one random access key only, refuses MiniStack's own unsigned
endpoints, and refuses every Host header except the server's own address. MiniStack itself checks the signatures of all
other keys.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from html import escape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from iac_ci_local import service_models
from iac_ci_local.functions import limits
from iac_ci_local.functions.fork_server import fork_functions
from iac_ci_local.loopback import is_own_host, is_token
from iac_ci_local.repeated_starts import answer_repeated_starts
from iac_ci_local.throttle import page_throttle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from iac_ci_local.throttle import Throttle

    App = Callable[..., Awaitable[None]]

ACCESS_KEY_VARIABLE: Final = "AWS_ACCESS_KEY_ID"
"""The environment variable with root's access key; MiniStack reads it too."""

REGISTRY_VARIABLE: Final = "IAC_CI_LOCAL_REGISTRY"
"""The environment variable that opens the image registry, which docker uses without a signature."""

_PORT_VARIABLE: Final = "GATEWAY_PORT"
_PAGE: Final = re.compile(r"/_aws/execute-api/[A-Za-z0-9-]+/[A-Za-z0-9_-]+/runs/[A-Za-z0-9_/.-]*")
_UNSIGNED: Final = (
    ("GET", re.compile(r"/_ministack/ready")),
    # The webhook: its function checks the signature of the body.
    ("POST", re.compile(r"/_aws/execute-api/[A-Za-z0-9-]+/[A-Za-z0-9_-]+/[A-Za-z0-9_/-]*")),
    # The page of a run: its function checks the capability.
    ("GET", _PAGE),
)

_REGISTRY: Final = re.compile(r"/v2/")


class Gateway:
    """An ASGI application that passes allowed requests on to MiniStack and answers 403 to all others."""

    def __init__(
        self, served: App, *, port: int, access_key: str, registry: bool = False, pages: Throttle | None = None
    ) -> None:
        """Serve on ``port``; ``access_key`` is the only key of the account's root; ``pages`` limits pages of runs.

        With ``registry``, the image registry below ``/v2/`` takes requests that are not signed.
        """
        self._registry = registry
        self._pages = pages
        self._served = served
        self._port = port
        self._access_key = access_key

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one connection of the server: a request, a WebSocket, which is refused, or the server's own events."""
        if scope["type"] == "lifespan":
            await self._served(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close"})
        elif problem := self.problem(scope):
            await _refuse(send, problem, as_json=any(name == b"x-amz-target" for name, _ in scope["headers"]))
        elif self._pages is not None and _PAGE.fullmatch(scope["path"]) and not self._pages.lets_through():
            await _answer(send, 429, "application/json", b'{"message":"Too Many Requests"}')
        else:
            await self._served(scope, receive, send)

    def problem(self, scope: Mapping[str, Any]) -> str | None:
        """Return why a request is refused; None if it is allowed."""
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name = raw_name.decode("latin-1").lower()
            if name in headers and name in {"host", "authorization", "x-amz-target"}:
                return f"the header {name} is repeated"
            headers[name] = raw_value.decode("latin-1")
        if not is_own_host(headers.get("host", ""), self._port):
            return "unknown host name"
        keys = _access_keys(headers, parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        if not any(keys):
            allowed = self._may_be_unsigned(scope, headers) or self._is_for_the_registry(scope, headers)
            return None if allowed else "the request is not signed"
        if any(_is_root(key) and not is_token(key, self._access_key) for key in keys if key):
            return "wrong access key of the local cloud's root"
        return None

    def _is_for_the_registry(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
        return self._registry and "x-amz-target" not in headers and bool(_REGISTRY.match(scope["path"]))

    @staticmethod
    def _may_be_unsigned(scope: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
        return "x-amz-target" not in headers and any(
            scope["method"] == method and pattern.fullmatch(scope["path"]) for method, pattern in _UNSIGNED
        )


def _access_keys(headers: dict[str, str], query: dict[str, list[str]]) -> Sequence[str]:
    """Return the access keys that MiniStack may read from a request, with its own parser."""
    read: Any = importlib.import_module("ministack.core.router").extract_access_key_id
    return [str(read(headers, None)), str(read(headers, query)), str(read({}, query))]


def _is_root(access_key: str) -> bool:
    is_root: Any = importlib.import_module("ministack.core.iam_evaluator").is_root_access_key
    return bool(is_root(access_key))


async def _refuse(send: Any, problem: str, *, as_json: bool) -> None:
    """Answer 403 in the format of the request's protocol: JSON with a target header, otherwise XML."""
    if as_json:
        kind, text = "application/x-amz-json-1.1", json.dumps({"__type": "AccessDeniedException", "message": problem})
    else:
        error = f"<Error><Code>AccessDenied</Code><Message>{escape(problem)}</Message></Error>"
        kind, text = "application/xml", f"<ErrorResponse>{error}</ErrorResponse>"
    await _answer(send, 403, kind, text.encode())


async def _answer(send: Any, status: int, kind: str, body: bytes) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def guarded(served: App) -> Gateway:
    """Return an application behind the gateway, with port and access key from the environment."""
    registry = REGISTRY_VARIABLE in os.environ
    port = int(os.environ[_PORT_VARIABLE])
    key = os.environ[ACCESS_KEY_VARIABLE]
    return Gateway(served, port=port, access_key=key, registry=registry, pages=page_throttle())


def _hide_docker() -> None:
    """Let MiniStack find no client of Docker's.

    When it starts and ends it removes all containers with its label, also those of another MiniStack of this user.
    """
    modules: dict[str, Any] = sys.modules
    modules["docker"] = None


def main() -> None:
    """Serve MiniStack behind the gateway until the process ends."""
    fork_functions(without=ACCESS_KEY_VARIABLE)
    service_models.share()
    _hide_docker()
    served = limits.apply()
    answer_repeated_starts()
    server: Any = importlib.import_module("ministack.app")
    server.app = guarded(served)
    server.main()


if __name__ == "__main__":
    main()
