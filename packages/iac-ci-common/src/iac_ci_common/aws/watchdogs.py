"""The watchdog's Step Functions state machine."""

from __future__ import annotations

from typing import Any

from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.keys import watchdog_name
from iac_ci_common.models.watch import Watch


class StepFunctionWatchdogs:
    """Starts executions whose names make a repeated start harmless."""

    def __init__(self, client: Any, state_machine_arn: str) -> None:
        """Use a Step Functions client and the ARN of the state machine."""
        self._client = client
        self._arn = state_machine_arn

    def start(self, run_id: str, number: int) -> bool:
        """Start the run's watchdog with this number, and return whether it surely runs now.

        AWS answers a second start with the same name and input like the first while the execution runs, and with
        ``ExecutionAlreadyExists`` after it ended (AWS Step Functions API Reference, "StartExecution").
        """
        from botocore.exceptions import ClientError

        with aws_errors(f"starting watchdog {number} of {run_id}"):
            try:
                self._client.start_execution(
                    stateMachineArn=self._arn,
                    name=watchdog_name(run_id, number),
                    input=Watch(run_id=run_id).model_dump_json(exclude_none=True),
                )
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "ExecutionAlreadyExists":
                    raise
                return False
        return True

    def is_running(self, run_id: str, number: int) -> bool:
        """Return whether the run's watchdog with this number runs.

        The answer is eventually consistent (AWS Step Functions API Reference, "DescribeExecution").
        """
        from botocore.exceptions import ClientError

        arn = f"{self._arn.replace(':stateMachine:', ':execution:')}:{watchdog_name(run_id, number)}"
        with aws_errors(f"looking at watchdog {number} of {run_id}"):
            try:
                status: str = self._client.describe_execution(executionArn=arn)["status"]
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "ExecutionDoesNotExist":
                    raise
                return False
        return status in {"RUNNING", "PENDING_REDRIVE"}
