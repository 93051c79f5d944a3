"""Reads the billed durations of functions from their logs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_local.cloud import LocalCloud

FUNCTIONS: Final = ("init-job", "orchestrator", "worker", "broker", "watchdog-check")
_REPORT: Final = re.compile(r"^REPORT .*\bBilled Duration: (\d+) ms")


@dataclass(frozen=True, slots=True)
class Spent:
    """Number of calls of one function and the sum of their billed seconds."""

    calls: int = 0
    seconds: float = 0.0


def spent(cloud: LocalCloud, since: datetime) -> dict[str, Spent]:
    """Return the calls and billed seconds of each function since a moment."""
    logs = cloud.aws.client("logs")
    found: dict[str, Spent] = {}
    for name in FUNCTIONS:
        group = f"/aws/lambda/{cloud.stack.names.resource(name)}"
        milliseconds: list[int] = []
        if logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            for page in logs.get_paginator("filter_log_events").paginate(
                logGroupName=group, startTime=int(since.timestamp() * 1000), filterPattern="REPORT"
            ):
                reports = (_REPORT.match(event["message"]) for event in page["events"])
                milliseconds += [int(report.group(1)) for report in reports if report is not None]
        found[name] = Spent(len(milliseconds), sum(milliseconds) / 1000)
    return found
