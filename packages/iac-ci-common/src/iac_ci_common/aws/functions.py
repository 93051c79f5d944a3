"""The init function's second leg, called by the first and by the watchdog."""

from __future__ import annotations

from typing import Any

from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.models.answer import Preparation


class LambdaPreparations:
    """Invokes the init function asynchronously with a preparation."""

    def __init__(self, client: Any, function_name: str) -> None:
        """Use a Lambda client and the function's name."""
        self._client = client
        self._function_name = function_name

    def start(self, run_id: str) -> None:
        """Ask for the preparation of an accepted run."""
        with aws_errors(f"invoking {self._function_name}"):
            self._client.invoke(
                FunctionName=self._function_name,
                InvocationType="Event",
                Payload=Preparation(prepare=run_id).model_dump_json().encode(),
            )
