"""The init function's asynchronous legs, called by the door and by the watchdog."""

from __future__ import annotations

from typing import Any

from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.models.answer import EventTask, PreparationTask


class LambdaAsyncInvoker:
    """Invokes the init function asynchronously with what one of its legs takes."""

    def __init__(self, client: Any, function_name: str) -> None:
        """Use a Lambda client and the function's name."""
        self._client = client
        self._function_name = function_name

    def prepare(self, run_id: str) -> None:
        """Ask for the preparation of an accepted run."""
        self._invoke(PreparationTask(prepare=run_id))

    def process_event(self, trigger_id: str) -> None:
        """Ask for a stored event to be worked on."""
        self._invoke(EventTask(trigger=trigger_id))

    def _invoke(self, payload: PreparationTask | EventTask) -> None:
        with aws_errors(f"invoking {self._function_name}"):
            self._client.invoke(
                FunctionName=self._function_name,
                InvocationType="Event",
                Payload=payload.model_dump_json().encode(),
            )
