"""The ledger of plans in the DynamoDB table locks: one row per plan and per project, with conditional writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeVar

from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.aws.rows import expiry_seconds
from iac_ci_common.errors import ConditionFailed, Throttled
from iac_ci_common.models.saved_plan import PlanRecord, ProjectState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from iac_ci_common.ports import Clock

Row = TypeVar("Row", PlanRecord, ProjectState)

_BATCH: Final = 100
"""Most keys of one call (Amazon DynamoDB API Reference, "BatchGetItem")."""

_TRIES: Final = 5
"""Most calls for one batch: DynamoDB may answer a part of it and ask for the rest again."""


class DynamoPlans:
    """The rows ``plan:…`` and ``project:…``."""

    def __init__(self, client: Any, table: str, clock: Clock, wait: Callable[[float], None]) -> None:
        """Use a DynamoDB client and the table's name; ``clock`` decides which rows have expired."""
        self._client = client
        self._table = table
        self._clock = clock
        self._wait = wait

    def records(self, keys: Collection[str]) -> dict[str, PlanRecord]:
        """Return the rows of plans, by their keys."""
        return {row.key: row for row in self._rows(keys, PlanRecord)}

    def states(self, keys: Collection[str]) -> dict[str, ProjectState]:
        """Return the rows of projects, by their keys."""
        return {row.key: row for row in self._rows(keys, ProjectState)}

    def write_record(self, record: PlanRecord) -> PlanRecord:
        """Write the next version of a plan's row."""
        return self._write(record, self.records)

    def write_state(self, state: ProjectState) -> ProjectState:
        """Write the next version of a project's row."""
        return self._write(state, self.states)

    def _rows(self, keys: Collection[str], kind: type[Row]) -> Iterator[Row]:
        wanted = sorted(set(keys))
        now = self._clock.now()
        for start in range(0, len(wanted), _BATCH):
            for item in self._batch(wanted[start : start + _BATCH]):
                row = kind.from_stored(item["row"]["S"])
                if row.expires_at > now:
                    yield row

    def _batch(self, keys: list[str]) -> Iterator[dict[str, Any]]:
        request: Any = {self._table: {"Keys": [{"lock_key": {"S": key}} for key in keys], "ConsistentRead": True}}
        for number in range(_TRIES):
            if number:
                self._wait(0.1 * 2**number)
            with aws_errors("reading the ledger of plans"):
                answer = self._client.batch_get_item(RequestItems=request)
            yield from answer.get("Responses", {}).get(self._table, ())
            request = answer.get("UnprocessedKeys")
            if not request:
                return
        raise Throttled("the ledger of plans could not be read whole")

    def _write(self, row: Row, read: Callable[[Collection[str]], dict[str, Row]]) -> Row:
        written = row.model_copy(update={"version": row.version + 1})
        values = {
            ":version": {"N": str(written.version)},
            ":row": {"S": json.dumps(written.model_dump(mode="json"))},
            ":expires_at": {"N": str(expiry_seconds(written.expires_at))},
        }
        if row.version:
            unchanged = "version = :version_read"
            values[":version_read"] = {"N": str(row.version)}
        else:
            unchanged = "attribute_not_exists(lock_key) OR expires_at <= :now"
            values[":now"] = {"N": str(int(self._clock.now().timestamp()))}
        try:
            with aws_errors("writing the ledger of plans"):
                self._client.update_item(
                    TableName=self._table,
                    Key={"lock_key": {"S": row.key}},
                    UpdateExpression="SET version = :version, #row = :row, expires_at = :expires_at",
                    ConditionExpression=unchanged,
                    ExpressionAttributeNames={"#row": "row"},
                    ExpressionAttributeValues=values,
                )
        except ConditionFailed:
            # botocore repeats a call whose answer was lost; then the table already has this version.
            if read([row.key]).get(row.key) == written:
                return written
            raise ConditionFailed("another process changed the ledger of plans", retry_is_safe=True) from None
        return written
