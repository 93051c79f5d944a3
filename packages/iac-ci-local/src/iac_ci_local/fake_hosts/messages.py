"""Requests to the code host and its answers, independent of sockets."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names are in lower case, ``target`` is as sent."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The decoded path."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; of several with one name the last."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def json(self) -> Any:
        """Return the body's JSON; raise ``ValueError`` for anything else."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, status: int, content: object, headers: Mapping[str, str] | None = None) -> Answer:
        """Return an answer with JSON."""
        kind = {"Content-Type": "application/json; charset=utf-8"}
        return cls(status, json.dumps(content).encode(), {**kind, **(headers or {})})


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A recorded request, without its token, and its answer; None if the answer was cut off."""

    request: Request
    answer: Answer | None


__all__ = ["Answer", "RecordedRequest", "Request"]
