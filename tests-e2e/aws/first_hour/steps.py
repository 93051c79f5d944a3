"""What a step is, what it works with, and what it reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from iac_ci_cli.connection import StackClient


class Verdict(StrEnum):
    """How what a step saw compares with what the engine assumes."""

    AS_EXPECTED = "as expected"
    DIFFERENT = "different"
    NOT_ANSWERED = "not answered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a step saw."""

    verdict: Verdict
    text: str


def compare(expected: bool, text: str) -> Seen:
    """Return what was seen, as expected or different."""
    return Seen(Verdict.AS_EXPECTED if expected else Verdict.DIFFERENT, text)


@dataclass(slots=True)
class Account:
    """The account and the stack that the steps work with.

    ``scale`` shortens waits on an emulator, which does not show what they wait for. ``emulated`` is true where
    ``AWS_ENDPOINT_URL`` replaces AWS.
    """

    stack: str
    region: str
    emulated: bool
    scale: float = 1.0
    memory: dict[str, Any] = field(default_factory=dict)
    """What one step leaves for a later one."""
    _connection: StackClient | None = None

    def connect(self, connection: StackClient) -> None:
        """Use this connection to the stack."""
        self._connection = connection

    @property
    def connection(self) -> StackClient:
        """The connection to the stack."""
        if self._connection is None:
            raise RuntimeError("there is no stack: the step `deploy` has not succeeded")
        return self._connection

    def client(self, service: str) -> Any:
        """Return a client of the account."""
        return self.connection.client(service)

    def name(self, resource: str) -> str:
        """Return the name of a resource of the stack."""
        return f"{self.stack}-{resource}"

    def wait(self, seconds: float) -> None:
        """Wait; less on an emulator."""
        time.sleep(seconds * self.scale)


@dataclass(frozen=True, slots=True)
class Step:
    """One question that only an account answers.

    ``assumed`` is what the engine or its stand-ins assume; ``dollars`` is at most what the step costs. What an
    emulator makes of a step that ``only_aws`` answers says nothing about the engine.
    """

    name: str
    question: str
    assumed: str
    run: Callable[[Account], Seen]
    dollars: float = 0.01
    only_aws: bool = False


BUDGET_DOLLARS: Final = 5.0
