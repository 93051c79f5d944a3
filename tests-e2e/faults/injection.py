"""Makes one AWS call of one function go wrong, below the adapters and above botocore's own retries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError


class Died(BaseException):
    """The function's process is gone: no handler of its own runs."""


class Kind(StrEnum):
    """How a call goes wrong. A fault stands for one that botocore's retries could not mend."""

    UNREACHABLE = "it never arrives"
    THROTTLED = "it is throttled"
    FAILED = "the service fails"
    ANSWER_LOST = "it takes effect and its answer is lost"
    DIES_BEFORE = "the function dies before it"
    DIES_AFTER = "the function dies after it took effect"


_BEFORE = {
    Kind.THROTTLED: (503, {"Code": "ThrottlingException", "Message": "slow down"}),
    Kind.FAILED: (500, {"Code": "InternalFailure", "Message": "something broke"}),
}


@dataclass
class Fault:
    """The ``call``-th AWS call of ``function``, counted over all its invocations, from 0."""

    function: str
    kind: Kind
    call: int
    counted: int = 0
    hit: str | None = None
    running: str | None = None
    _lost: bool = field(default=False, repr=False)

    @contextmanager
    def inside(self, function: str) -> Iterator[None]:
        """Return which function's calls come now."""
        self.running = function
        try:
            yield
        finally:
            self.running = None

    def watch(self, client: Any) -> None:
        """Sit on a client."""
        client.meta.events.register_last("before-call", self._before)
        client.meta.events.register_last("after-call", self._after)

    def _before(self, model: Any, **_: Any) -> Any:
        if self.running != self.function:
            return None
        self.counted += 1
        if self.counted - 1 != self.call:
            return None
        self.hit = f"{model.service_model.service_name}.{model.name}"
        if self.kind is Kind.DIES_BEFORE:
            raise Died
        if self.kind is Kind.UNREACHABLE:
            raise ConnectTimeoutError(endpoint_url="the service")
        if self.kind in _BEFORE:
            status, error = _BEFORE[self.kind]
            answer = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}
            return SimpleNamespace(status_code=status), answer
        self._lost = True
        return None

    def _after(self, http_response: Any, **_: Any) -> None:
        if not self._lost:
            return
        self._lost = False
        if self.kind is Kind.DIES_AFTER:
            raise Died
        raise ReadTimeoutError(endpoint_url="the service")
