"""A request to the code host and its answer, apart from sockets."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked: header names in lower case, ``target`` as it was sent."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """Return the path, decoded."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        """Return the query's parameters, the last of each name."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def json(self) -> Any:
        """Return the body's JSON; ``ValueError`` if it is none."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, status: int, content: object, headers: Mapping[str, str] | None = None) -> Answer:
        """Answer with JSON."""
        kind = {"Content-Type": "application/json; charset=utf-8"}
        return cls(status, json.dumps(content).encode(), {**kind, **(headers or {})})

    @classmethod
    def refusal(cls, status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Answer with an error in GitHub's shape."""
        content = {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)}
        return cls.of_json(status, content, headers)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request as it is remembered, without its token, and the answer that it got; None where it was cut off."""

    request: Request
    answer: Answer | None


__all__ = ["Answer", "Exchange", "Request"]
