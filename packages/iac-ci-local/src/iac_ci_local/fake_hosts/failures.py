"""Planned failures of the code host: rate limits, errors, cut-off, missing and altered answers."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iac_ci_local.fake_hosts.messages import Answer, Request


class FailureKind(StrEnum):
    """How a request fails."""

    ANSWER = "answer"
    """The host refuses it with a status."""

    CUT = "cut"
    """The host carries it out, but its answer breaks off."""

    HOLD = "hold"
    """The host answers only after ``released`` is set or the server closes."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One planned failure; status, headers and message apply to ``ANSWER``."""

    kind: FailureKind
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = ""


class Failures:
    """The queue of planned failures, first in, first out. Thread-safe."""

    def __init__(self) -> None:
        """Start without failures."""
        self._planned: list[Failure] = []
        self._lock = threading.Lock()
        self.released = threading.Event()

    def plan(self, failure: Failure, times: int) -> None:
        """Fail the next ``times`` requests to the API."""
        with self._lock:
            self._planned += [failure] * times

    def next(self) -> Failure | None:
        """Return and remove the failure for the current request; None if it may succeed."""
        with self._lock:
            return self._planned.pop(0) if self._planned else None


@dataclass(frozen=True, slots=True)
class Alteration:
    """Answers to ``GET`` of paths that match ``path``, whose content ``change`` alters."""

    path: re.Pattern[str]
    change: Callable[[Any], Any]


class Alterations:
    """The planned alterations, first in, first out for each path. Thread-safe."""

    def __init__(self) -> None:
        """Start without alterations."""
        self._planned: list[Alteration] = []
        self._lock = threading.Lock()

    def plan(self, path: str, change: Callable[[Any], Any], times: int) -> None:
        """Alter the next ``times`` good answers with JSON to paths that match the pattern ``path`` to their end."""
        with self._lock:
            self._planned += [Alteration(re.compile(path), change)] * times

    def clear(self) -> None:
        """Forget what is planned."""
        with self._lock:
            self._planned.clear()

    def altered(self, request: Request, answer: Answer) -> Answer:
        """Return an answer, altered if that is planned for its path."""
        if request.method != "GET" or answer.status != 200:
            return answer
        with self._lock:
            found = next((one for one in self._planned if one.path.search(request.path)), None)
            if found is None:
                return answer
            self._planned.remove(found)
        content = found.change(json.loads(answer.body))
        headers = {name: value for name, value in answer.headers.items() if name != "ETag"}
        return replace(answer, body=json.dumps(content).encode(), headers=headers)


__all__ = ["Alterations", "Failure", "FailureKind", "Failures"]
