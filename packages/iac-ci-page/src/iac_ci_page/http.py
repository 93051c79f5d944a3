"""API Gateway's requests and answers, with the headers that every answer has."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

COOKIE: Final = "iac_ci_run"
"""Name of the cookie with a session. The browser keeps one for each run, because it belongs to the run's path."""

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Only this function's own files run or load, nothing inline, and no script can turn text into markup."""

_INVISIBLE: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
"""Control characters, and those that reverse the text or have no width (Unicode Standard Annex #9)."""

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request for the page of a run; ``part`` is the path below it, empty for the page itself."""

    run_id: str
    part: str = ""
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    sessions: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer."""

    status: int
    body: str = ""
    content_type: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def as_proxy(self) -> dict[str, Any]:
        """Return API Gateway's proxy answer."""
        headers = {**_HEADERS, "Content-Type": self.content_type, **self.headers}
        return {"statusCode": self.status, "headers": headers, "body": self.body}


def read_request(event: Mapping[str, Any]) -> Request:
    """Return the request of API Gateway's proxy event."""
    path = event.get("pathParameters") or {}
    headers = {str(name).lower(): str(value) for name, value in (event.get("headers") or {}).items()}
    query = {str(name): str(value) for name, value in (event.get("queryStringParameters") or {}).items()}
    pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
    sessions = tuple(value for name, _, value in pairs if name == COOKIE)
    return Request(str(path.get("run_id") or ""), str(path.get("part") or ""), query, sessions)


def visible(content: Any) -> Any:
    """Return content in whose texts a sign stands for each character that could hide or reverse what a reader sees."""
    if isinstance(content, str):
        return _INVISIBLE.sub("\ufffd", content)
    if isinstance(content, list | tuple):
        return [visible(one) for one in content]
    return {name: visible(value) for name, value in content.items()} if isinstance(content, dict) else content


def as_json(content: object) -> Response:
    """Return an answer for the page's scripts; its texts are visible."""
    return Response(200, json.dumps(visible(content), separators=(",", ":")), "application/json")


def failure(status: int) -> Response:
    """Return the answer for a failure of the engine."""
    return Response(status, "The page cannot be shown now. Nothing was changed; load it again.\n", "text/plain")
