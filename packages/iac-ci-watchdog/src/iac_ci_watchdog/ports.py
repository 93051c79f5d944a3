"""The ports that the watchdog needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iac_ci_common.metric_lines import NO_METRICS

if TYPE_CHECKING:
    from iac_ci_common.ports import AsyncInvoker, Clock, LockReader, Logger, Metrics, Objects, Parallel, Runs, Workers


@dataclass(frozen=True, slots=True)
class WatchdogPorts:
    """The ports of the watchdog."""

    clock: Clock
    runs: Runs
    locks: LockReader
    objects: Objects
    workers: Workers
    invoker: AsyncInvoker
    parallel: Parallel
    logger: Logger
    metrics: Metrics = NO_METRICS
