"""The metrics of the engine, and the fields of a log line from which CloudWatch reads them; pure.

A line in the embedded metric format (Amazon CloudWatch User Guide, "Specification: Embedded metric format") needs no
call: the function writes it, and CloudWatch Logs makes the metrics.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.states import RunState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

DIMENSION: Final = "stack"
"""The only dimension: each combination of a metric and values of dimensions costs as much as a metric."""


class Metric(StrEnum):
    """Names of the metrics."""

    RUNS_SUCCEEDED = "RunsSucceeded"
    RUNS_FAILED = "RunsFailed"
    RUNS_TIMED_OUT = "RunsTimedOut"
    RUNS_CANCELLED = "RunsCancelled"
    SECONDS_TO_FIRST_COMMAND = "SecondsToFirstCommand"
    """From the acceptance of a run to its first command; of runs that ran one, written when they end."""
    OPEN_RUN_SECONDS = "OpenRunSeconds"
    """Age of an open run, each minute: the maximum is the oldest run, the count of samples how many are open."""
    WAITING_ORDERS = "WaitingOrders"
    """Orders of an open run that have not started, each minute: the sum is that of all runs."""


UNITS: Final[Mapping[Metric, str]] = {
    Metric.RUNS_SUCCEEDED: "Count",
    Metric.RUNS_FAILED: "Count",
    Metric.RUNS_TIMED_OUT: "Count",
    Metric.RUNS_CANCELLED: "Count",
    Metric.SECONDS_TO_FIRST_COMMAND: "Seconds",
    Metric.OPEN_RUN_SECONDS: "Seconds",
    Metric.WAITING_ORDERS: "Count",
}

ENDED: Final[Mapping[RunState, Metric]] = {
    RunState.SUCCEEDED: Metric.RUNS_SUCCEEDED,
    RunState.FAILED: Metric.RUNS_FAILED,
    RunState.TIMED_OUT: Metric.RUNS_TIMED_OUT,
    RunState.CANCELLED: Metric.RUNS_CANCELLED,
}
"""The metric that counts the runs that ended with a state."""


def embedded(namespace: str, stack: str, now: datetime, values: Mapping[Metric, float]) -> dict[str, Any]:
    """Return the fields of a log line with these values."""
    return {
        "_aws": {
            "Timestamp": int(now.timestamp() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": namespace,
                    "Dimensions": [[DIMENSION]],
                    "Metrics": [{"Name": metric.value, "Unit": UNITS[metric]} for metric in values],
                }
            ],
        },
        DIMENSION: stack,
        **{metric.value: value for metric, value in values.items()},
    }
