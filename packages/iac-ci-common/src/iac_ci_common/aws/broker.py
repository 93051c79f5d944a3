"""The broker's function, as workers call it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.errors import PortFailed, StoredUnreadable
from iac_ci_common.models.trade import TradeAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from iac_ci_common.models.trade import Trade


_REASON_CHARACTERS: Final = 1000
"""The most characters of a function's error that are repeated."""


class LambdaBroker:
    """Invokes the broker's function and waits for its answer. The client is made at the first trade."""

    def __init__(self, client: Callable[[], Any], function_name: str) -> None:
        """Take a function that makes a Lambda client, and the name of the broker's function."""
        self._client = client
        self._function_name = function_name

    def trade(self, trade: Trade) -> TradeAnswer:
        """Send a trade and return the answer."""
        try:
            return TradeAnswer.from_stored(self._invoke(trade))
        except (PortFailed, StoredUnreadable) as error:
            # A trade may always be sent again: the same pair of tickets gets the same answer.
            raise PortFailed(f"no answer from the broker: {error.message}", retry_is_safe=True) from error

    def _invoke(self, trade: Trade) -> bytes:
        """Return the answer's body; raise ``PortFailed``, also for an error of the function itself."""
        with aws_errors(f"invoking {self._function_name}"):
            answer = self._client().invoke(
                FunctionName=self._function_name,
                InvocationType="RequestResponse",
                Payload=trade.model_dump_json().encode(),
            )
            body: bytes = answer["Payload"].read()
        if "FunctionError" in answer:
            raise PortFailed(f"{self._function_name} failed: {_reason(body)}")
        return body


def _reason(body: bytes) -> str:
    """Return the message of a function's error (AWS Lambda Developer Guide, "Lambda function errors in Python").

    What is no such error is returned as it is.
    """
    text = body.decode("utf-8", "replace")
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    message = answer.get("errorMessage") if isinstance(answer, dict) else None
    return str(message or text)[:_REASON_CHARACTERS]
