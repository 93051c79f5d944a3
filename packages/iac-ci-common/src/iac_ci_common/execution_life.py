"""How long a worker's execution can live at most: pure. Beyond it, silence is a proof that the worker has ended."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_common.limits import BUILD_MARGIN_SECONDS, CLOCK_DIFFERENCE_SECONDS, WORKER_LAMBDA_SECONDS
from iac_ci_common.models.job import ExecutionTarget

if TYPE_CHECKING:
    from datetime import datetime

_MINIMUM_BUILD_MINUTES: Final = 5
_LISTED_WITHIN: Final = timedelta(minutes=5)
"""Time after a dispatch within which CodeBuild lists its build, with a large margin: AWS documents none."""


def build_seconds(timeout: int, stop_grace: int) -> int:
    """Return how long a build may take whose order has this time-out and grace, all in seconds."""
    return timeout + stop_grace + BUILD_MARGIN_SECONDS


def build_minutes(seconds: int) -> int:
    """Return the time-out in whole minutes of a build that needs ``seconds``.

    CodeBuild accepts 5 to 2160 minutes (AWS CodeBuild API Reference, "StartBuild").
    """
    return max(_MINIMUM_BUILD_MINUTES, -(-seconds // 60))


def latest_end(target: ExecutionTarget, timeout: int, stop_grace: int, claimed_at: datetime) -> datetime:
    """Return the time at which the execution that claimed an order has certainly ended.

    ``timeout`` and ``stop_grace`` are the order's, in seconds. The claim is made after the execution has begun, so it
    ends at the latest its own time-out after the claim:

    - Lambda ends an invocation at the function's time-out, and the worker is not invoked again for an error (AWS Lambda
      Developer Guide, "Configure Lambda function timeout", "Configuring error handling settings for asynchronous
      invocations"; ``maximum_retry_attempts`` is 0).
    - CodeBuild ends a build at the time-out that it was started with. Its clock does not run while the build is queued
      (AWS CodeBuild User Guide, "Build phase transitions"), and a queued build has claimed nothing.

    The difference that clocks may have is added. Before a claim there is no such time: no commands run, and the
    first who creates the claim decides whether they ever will.
    """
    build = build_minutes(build_seconds(timeout, stop_grace)) * 60
    life = build if target is ExecutionTarget.CODEBUILD else WORKER_LAMBDA_SECONDS
    return claimed_at + timedelta(seconds=life + CLOCK_DIFFERENCE_SECONDS)


def is_new_build(dispatched_at: datetime | None, now: datetime) -> bool:
    """Return whether CodeBuild may not list the build yet of an order that was dispatched at this time."""
    return dispatched_at is not None and now < dispatched_at + _LISTED_WITHIN
