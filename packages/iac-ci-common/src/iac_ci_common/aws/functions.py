"""Asynchronous invocations of the init function, by the webhook handler, the watchdog and the orchestrator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.models.answer import EventTask, PreparationTask, ReplanTask

if TYPE_CHECKING:
    from iac_ci_common.models.saved_plan import Replan


class LambdaAsyncInvoker:
    """Invokes the init function asynchronously with a task."""

    def __init__(self, client: Any, function_name: str) -> None:
        """Use a Lambda client and the name of the function."""
        self._client = client
        self._function_name = function_name

    def prepare(self, run_id: str) -> None:
        """Invoke the preparation of an accepted run."""
        self._invoke(PreparationTask(prepare=run_id))

    def process_event(self, trigger_id: str) -> None:
        """Invoke the processing of a stored event."""
        self._invoke(EventTask(trigger=trigger_id))

    def plan_again(self, replan: Replan) -> None:
        """Invoke what plans again what an apply has made stale."""
        self._invoke(ReplanTask(replan=replan))

    def _invoke(self, task: PreparationTask | EventTask | ReplanTask) -> None:
        with aws_errors(f"invoking {self._function_name}"):
            self._client.invoke(
                FunctionName=self._function_name,
                InvocationType="Event",
                Payload=task.model_dump_json().encode(),
            )
