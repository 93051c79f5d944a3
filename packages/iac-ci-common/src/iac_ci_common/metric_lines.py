"""Writes metrics as log lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iac_ci_common.metrics import embedded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iac_ci_common.metrics import Metric
    from iac_ci_common.ports import Clock, Logger, Metrics


class MetricLines:
    """Writes each record as one log line in the embedded metric format."""

    def __init__(self, logger: Logger, clock: Clock, *, namespace: str, stack: str, level: str) -> None:
        """Write lines of the function's own log level, because Lambda drops lines below it."""
        self._write = logger.warning if level == "WARNING" else logger.info
        self._clock = clock
        self._namespace = namespace
        self._stack = stack

    def record(self, values: Mapping[Metric, float], **context: str) -> None:
        """Write the values; the context is in the line and is no dimension."""
        self._write("metrics", **context, **embedded(self._namespace, self._stack, self._clock.now(), values))


class NoMetrics:
    """Writes nothing: metrics cost money for each name, so a stack has none unless its operator wants them."""

    def record(self, values: Mapping[Metric, float], **context: str) -> None:
        """Do nothing."""


NO_METRICS: Final = NoMetrics()


def metric_lines(logger: Logger, clock: Clock, *, namespace: str, stack: str, level: str) -> Metrics:
    """Return what writes the metrics of a namespace; what writes nothing if the namespace is empty."""
    if not namespace:
        return NO_METRICS
    return MetricLines(logger, clock, namespace=namespace, stack=stack, level=level)
