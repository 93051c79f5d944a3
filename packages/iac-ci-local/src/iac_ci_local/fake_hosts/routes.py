"""What the hosts' APIs have in common: routes, JSON bodies, versions of answers, and pages of lists."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from iac_ci_common.errors import NotFound
from iac_ci_local.fake_hosts.messages import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from iac_ci_local.fake_hosts.messages import Request
    from iac_ci_local.fake_hosts.project import Person

_Item = TypeVar("_Item")


class Routes:
    """The operations of an API, by method and pattern of the path."""

    def __init__(self, routes: Iterable[tuple[str, str, Callable[..., Answer]]]) -> None:
        """Match paths ignoring case, as the hosts do for the names of projects."""
        self._routes = [(method, re.compile(pattern, re.IGNORECASE), answer) for method, pattern, answer in routes]

    def answer(self, request: Request, person: Person, path: str) -> Answer | None:
        """Return the answer to a request, None if no route matches or the resource does not exist."""
        for method, pattern, route in self._routes:
            if method == request.method and (match := pattern.fullmatch(path)):
                try:
                    return _conditional(request, route(request, person, *match.groups()))
                except NotFound:
                    return None
        return None


@dataclass(frozen=True, slots=True)
class Page(Generic[_Item]):
    """A part of a list; ``number`` and ``last`` begin at 1."""

    items: Sequence[_Item]
    number: int
    last: int
    size: int
    total: int


def page_of(request: Request, items: Sequence[_Item], *, size: str, usual: int, most: int) -> Page[_Item]:
    """Return the requested part of a list; ``size`` is the name of the parameter for the number of items."""
    count = max(1, min(most, number(request.query.get(size), usual)))
    wanted = max(1, number(request.query.get("page"), 1))
    last = max(1, -(-len(items) // count))
    return Page(items[(wanted - 1) * count : wanted * count], wanted, last, count, len(items))


def bearer(request: Request) -> str:
    """Return the token of the header Authorization, empty without one."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token if kind.lower() in {"bearer", "token"} else ""


def basic_password(request: Request) -> str:
    """Return the password of the header Authorization, empty without one; git and people send tokens as passwords."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return ""
    try:
        return base64.b64decode(given, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def json_object(request: Request) -> dict[str, Any] | None:
    """Return the body if it is a JSON object, None for any other."""
    try:
        payload = request.json()
    except ValueError:
        return None
    return payload if isinstance(payload, dict) else None


def number(text: str | None, otherwise: int) -> int:
    """Return a decimal number, ``otherwise`` for any other text."""
    return int(text) if text and text.isascii() and text.isdigit() else otherwise


def _conditional(request: Request, answer: Answer) -> Answer:
    """Add an ETag to a good answer; return 304 if the caller has this version.

    A version belongs to the token that read it: another token gets the whole answer.
    """
    if request.method != "GET" or answer.status != 200:
        return answer
    caller = request.headers.get("authorization", "").encode()
    tag = f'W/"{hashlib.sha256(caller + answer.body).hexdigest()}"'
    headers = {**answer.headers, "ETag": tag, "Cache-Control": "private, max-age=60, s-maxage=60"}
    if tag in [given.strip() for given in request.headers.get("if-none-match", "").split(",")]:
        return Answer(304, b"", headers)
    return replace(answer, headers=headers)


__all__ = ["Page", "Routes", "bearer", "json_object", "number", "page_of"]
