"""Planned failures of the code host: rate limits, errors, cut-off and missing answers."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


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


__all__ = ["Failure", "FailureKind", "Failures"]
