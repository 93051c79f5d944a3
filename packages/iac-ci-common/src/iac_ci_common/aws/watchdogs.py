"""The watchdog's Step Functions state machine."""

from __future__ import annotations

from typing import Any

from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.keys import execution_name
from iac_ci_common.models.watch import Watch


class StepFunctionWatchdogs:
    """Starts executions whose names make a repeated start harmless."""

    def __init__(self, client: Any, state_machine_arn: str) -> None:
        """Use a Step Functions client and the ARN of the state machine."""
        self._client = client
        self._arn = state_machine_arn

    def start(self, run_id: str, order_num: str) -> None:
        """Start the watchdog of an order, or of the run if ``order_num`` is ``0000``.

        AWS answers a second start with the same name and input like the first while the execution runs, and with
        ``ExecutionAlreadyExists`` after it ended (AWS Step Functions API Reference, "StartExecution"). Neither is an
        error here.
        """
        from botocore.exceptions import ClientError

        with aws_errors(f"starting the watchdog of {run_id}/{order_num}"):
            try:
                self._client.start_execution(
                    stateMachineArn=self._arn,
                    name=execution_name(run_id, order_num),
                    input=Watch(run_id=run_id, order_num=order_num).model_dump_json(),
                )
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "ExecutionAlreadyExists":
                    raise
