"""The format of log lines: what Lambda's filter of log levels reads."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, cast

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.trace_context import traceparent

if TYPE_CHECKING:
    from aws_lambda_powertools.logging.types import LogRecord

LAMBDA_LEVELS: Final = {"WARNING": "WARN", "CRITICAL": "FATAL"}
"""Python's names of levels that Lambda has other names for."""


class LambdaFormatter(LambdaPowertoolsFormatter):
    """Writes each line as JSON with a ``timestamp`` in RFC 3339, one of Lambda's levels and the run's trace context.

    Lambda takes a line without either for one of level INFO, so that a function whose log level is WARN would lose its
    warnings and errors (AWS Lambda Developer Guide, "Log-level filtering").
    """

    def __init__(self, **options: Any) -> None:
        """Take the options of the powertools' formatter."""
        super().__init__(use_rfc3339=True, **options)

    def serialize(self, log: LogRecord) -> str:
        """Return the line. What a line says of its run must be right for its trace context; else it has none."""
        line: dict[str, Any] = {**log}
        line["level"] = LAMBDA_LEVELS.get(str(line.get("level")), line.get("level"))
        trace_id, run_id = str(line.get("trace_id")), str(line.get("run_id"))
        with contextlib.suppress(ValueError):
            line["traceparent"] = traceparent(trace_id, run_id, str(line.get("order_num", RUN_ORDER_NUM)))
        return super().serialize(log=cast("LogRecord", line))
