"""Watchdogs from outside: whether one runs, and how a new one is started where it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from iac_ci_cli.diagnosis import WatchdogState
from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.keys import watchdog_name
from iac_ci_common.models.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable


class Executions(Protocol):
    """The watchdogs of runs."""

    def state(self, run_id: str) -> WatchdogState:
        """Return whether something looks after the run."""
        ...

    def start_again(self, run_id: str) -> bool:
        """Start a watchdog for a run that has none; False if one runs. Asking twice starts one."""
        ...


class StepFunctionExecutions:
    """The executions of the stack's state machine.

    Each further watchdog of a run has the next number. The orchestrator counts in the run's row; a watchdog that
    ``start_again`` has started is found by it, because a name that is taken leads to the next number.
    """

    def __init__(self, client: Callable[[], Any], state_machine_arn: str) -> None:
        """Take a maker of the Step Functions client, and the machine's ARN."""
        self._client = client
        self._arn = state_machine_arn

    def state(self, run_id: str) -> WatchdogState:
        """Describe the run's newest execution."""
        return self._newest(run_id)[0]

    def start_again(self, run_id: str) -> bool:
        """Start the next execution unless the newest one runs."""
        state, number = self._newest(run_id)
        if state is WatchdogState.RUNNING:
            return False
        with aws_errors(f"starting a watchdog of {run_id}"):
            self._client().start_execution(
                stateMachineArn=self._arn,
                name=watchdog_name(run_id, number + 1),
                input=Watch(run_id=run_id).model_dump_json(exclude_none=True),
            )
        return True

    def _newest(self, run_id: str) -> tuple[WatchdogState, int]:
        state, number = WatchdogState.MISSING, 0
        while state is not WatchdogState.RUNNING:
            found = self._describe(watchdog_name(run_id, number + 1))
            if found is None:
                break
            state, number = found, number + 1
        return state, number

    def _describe(self, name: str) -> WatchdogState | None:
        from botocore.exceptions import ClientError

        arn = f"{self._arn.replace(':stateMachine:', ':execution:')}:{name}"
        with aws_errors(f"looking at the watchdog {name}"):
            try:
                status = self._client().describe_execution(executionArn=arn)["status"]
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "ExecutionDoesNotExist":
                    raise
                return None
        return WatchdogState.RUNNING if status in {"RUNNING", "PENDING_REDRIVE"} else WatchdogState.ENDED
