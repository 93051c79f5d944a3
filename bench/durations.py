"""How long functions ran, as the reports in their logs say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_local.cloud import LocalCloud

FUNCTIONS: Final = ("init-job", "orchestrator", "worker", "watchdog-check")
_REPORT: Final = re.compile(r"^REPORT .*\bBilled Duration: (\d+) ms")


@dataclass(frozen=True, slots=True)
class Spent:
    """Calls of one function, and the seconds that they are billed for, together."""

    calls: int = 0
    seconds: float = 0.0


def spent(cloud: LocalCloud, since: datetime) -> dict[str, Spent]:
    """Return what each function spent since a moment."""
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
