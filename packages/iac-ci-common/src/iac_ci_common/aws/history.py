"""The index of runs in the DynamoDB table order_events."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.aws import pages
from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.aws.rows import model
from iac_ci_common.errors import IacCiError
from iac_ci_common.ids import JOB_EVENT_NAME
from iac_ci_common.keys import job_day
from iac_ci_common.models.event import Event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from iac_ci_common.ports import Clock, Parallel

INDEX: Final = "job_day-epoch"
"""Events of whole runs by their UTC day: a day is one partition, so that none grows with the stack's age."""

FORMER_INDEX: Final = "order_name-epoch"
"""Has the events that a version before wrote: they have no day."""


class DynamoHistory:
    """Events of whole runs, by time."""

    def __init__(self, client: Any, events_table: str, clock: Clock, parallel: Parallel) -> None:
        """Use a DynamoDB client and the table's name; days are read in parallel."""
        self._client = client
        self._table = events_table
        self._clock, self._parallel = clock, parallel

    def job_events(self, since: datetime, until: datetime) -> list[Event]:
        """Return the events of the days in between, by one query per day and megabyte, and those of versions before."""
        names = [(INDEX, "job_day", job_day(day), None) for day in _days(since, until)]
        no_day = "attribute_not_exists(job_day)"
        reads = [
            partial(self._query, *name, since, until)
            for name in (*names, (FORMER_INDEX, "order_name", JOB_EVENT_NAME, no_day))
        ]
        now = self._clock.now()
        found: list[Event] = []
        for events in self._parallel.run(reads):
            if isinstance(events, IacCiError):
                raise events
            found += [event for event in events if event.expires_at > now]
        return sorted(found, key=lambda event: (event.epoch_ms, event.sort), reverse=True)

    def _query(
        self, index: str, attribute: str, value: str, condition: str | None, since: datetime, until: datetime
    ) -> list[Event]:
        found: list[Event] = []
        with aws_errors(f"reading the index {index} of {self._table}"):
            rows = pages.query(
                self._client,
                TableName=self._table,
                IndexName=index,
                KeyConditionExpression=f"{attribute} = :value AND epoch_ms BETWEEN :first AND :last",
                ExpressionAttributeValues={
                    ":value": {"S": value},
                    ":first": {"N": str(_epoch_ms(since))},
                    ":last": {"N": str(_epoch_ms(until) - 1)},
                },
                **({"FilterExpression": condition} if condition is not None else {}),
            )
            found += [model(Event, row) for row in rows]
        return found


def _days(since: datetime, until: datetime) -> Iterator[date]:
    """Yield the UTC days from ``since`` to before ``until``."""
    day = datetime.combine(since.astimezone(UTC).date(), time(), UTC)
    while day < until:
        yield day.date()
        day += timedelta(days=1)


def _epoch_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


__all__ = ["FORMER_INDEX", "INDEX", "DynamoHistory"]
