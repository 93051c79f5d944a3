"""What goes wrong on purpose: a host that is limited, broken, slow or gone."""

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
    """It is refused with a status."""

    CUT = "cut"
    """It is carried out, but its answer breaks off."""

    HOLD = "hold"
    """It is not answered before it is let go of or the host closes."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure, and the answer given where it is one."""

    kind: FailureKind
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = ""


class Failures:
    """The failures to come, first in first out. Safe for several threads at once."""

    def __init__(self) -> None:
        """Plan none."""
        self._coming: list[Failure] = []
        self._lock = threading.Lock()
        self.released = threading.Event()

    def plan(self, failure: Failure, times: int) -> None:
        """Fail the next ``times`` requests to the API."""
        with self._lock:
            self._coming += [failure] * times

    def next(self) -> Failure | None:
        """Take the failure of the request at hand; None where it may succeed."""
        with self._lock:
            return self._coming.pop(0) if self._coming else None


__all__ = ["Failure", "FailureKind", "Failures"]
