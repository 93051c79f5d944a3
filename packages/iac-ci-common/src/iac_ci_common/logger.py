"""Structured log lines by aws-lambda-powertools: each is a JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger


class PowertoolsLogger:
    """Writes log lines with the service and the bound context: run_id, order_num, trace_id."""

    def __init__(self, service: str, level: str = "INFO", **context: str) -> None:
        """Create the logger of a service; it writes lines of ``level`` and above."""
        from aws_lambda_powertools import Logger

        from iac_ci_common.log_format import LambdaFormatter

        self._service = service
        self._level = level
        self._context = context
        self._logger: Logger = Logger(service=service, level=level, logger_formatter=LambdaFormatter())

    def bind(self, **context: str) -> PowertoolsLogger:
        """Return a logger that also adds this context."""
        return PowertoolsLogger(self._service, self._level, **(self._context | context))

    def info(self, message: str, **fields: object) -> None:
        """Log progress of a run without problems."""
        self._logger.info(message, extra=self._context | fields)

    def warning(self, message: str, **fields: object) -> None:
        """Log a problem that the engine handled."""
        self._logger.warning(message, extra=self._context | fields)

    def error(self, message: str, **fields: object) -> None:
        """Log a problem that a person should see."""
        self._logger.error(message, extra=self._context | fields)
