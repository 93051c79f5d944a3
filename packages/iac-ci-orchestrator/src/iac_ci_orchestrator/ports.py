"""The ports that the orchestrator needs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iac_ci_common.metric_lines import NO_METRICS

if TYPE_CHECKING:
    from collections.abc import Callable

    from iac_ci_common.ports import (
        AsyncInvoker,
        Clock,
        EventBus,
        Groups,
        LastWrites,
        Logger,
        Metrics,
        Objects,
        Parallel,
        Plans,
        RunLocks,
        Runs,
        Watchdogs,
        Workers,
    )
    from iac_ci_vcs.ports import Reports


@dataclass(frozen=True, slots=True)
class OrchestratorPorts:
    """The ports of the orchestrator."""

    clock: Clock
    runs: Runs
    locks: RunLocks
    last_writes: LastWrites
    objects: Objects
    done: Objects
    workers: Workers
    watchdogs: Watchdogs
    reports: Reports
    plans: Plans
    invoker: AsyncInvoker
    groups: Groups
    bus: EventBus
    parallel: Parallel
    logger: Logger
    metrics: Metrics = NO_METRICS
    wait: Callable[[float], None] = time.sleep
