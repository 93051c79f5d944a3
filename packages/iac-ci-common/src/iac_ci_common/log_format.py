"""The format of log lines: what Lambda's filter of log levels reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

if TYPE_CHECKING:
    from aws_lambda_powertools.logging.types import LogRecord

LAMBDA_LEVELS: Final = {"WARNING": "WARN", "CRITICAL": "FATAL"}
"""Python's names of levels that Lambda has other names for."""


class LambdaFormatter(LambdaPowertoolsFormatter):
    """Writes each line as JSON with a ``timestamp`` in RFC 3339 and one of Lambda's levels.

    Lambda takes a line without either for one of level INFO, so that a function whose log level is WARN would lose its
    warnings and errors (AWS Lambda Developer Guide, "Log-level filtering").
    """

    def __init__(self, **options: Any) -> None:
        """Take the options of the powertools' formatter."""
        super().__init__(use_rfc3339=True, **options)

    def serialize(self, log: LogRecord) -> str:
        """Return the line."""
        level = str(log.get("level"))
        log["level"] = LAMBDA_LEVELS.get(level, level)
        return super().serialize(log=log)
