"""Structured log lines, one JSON object each, by aws-lambda-powertools."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger


class PowertoolsLogger:
    """Writes lines that all carry the service and what was bound: run_id, order_num, trace_id."""

    def __init__(self, service: str, level: str = "INFO", **context: str) -> None:
        """Open the log of one service at one level."""
        from aws_lambda_powertools import Logger

        self._service = service
        self._level = level
        self._context = context
        self._logger: Logger = Logger(service=service, level=level)

    def bind(self, **context: str) -> PowertoolsLogger:
        """Return a logger that adds this context too."""
        return PowertoolsLogger(self._service, self._level, **(self._context | context))

    def info(self, message: str, **fields: object) -> None:
        """Write a line that a reader of a healthy run wants."""
        self._logger.info(message, extra=self._context | fields)

    def warning(self, message: str, **fields: object) -> None:
        """Write a line about something that went wrong and was dealt with."""
        self._logger.warning(message, extra=self._context | fields)

    def error(self, message: str, **fields: object) -> None:
        """Write a line about something that a person should see."""
        self._logger.error(message, extra=self._context | fields)
