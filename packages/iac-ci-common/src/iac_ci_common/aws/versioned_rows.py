"""Rows of the DynamoDB table locks that are read whole and written on condition of their version."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar

from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.aws.rows import expiry_seconds
from iac_ci_common.errors import ConditionFailed, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime

    from iac_ci_common.ports import Clock

_BATCH: Final = 100
"""Most keys of one call (Amazon DynamoDB API Reference, "BatchGetItem")."""

_TRIES: Final = 5
"""Most calls for one batch: DynamoDB may answer a part of it and ask for the rest again."""


class VersionedRow(Protocol):
    """A stored model with a key, a version and an expiry."""

    @property
    def key(self) -> str:
        """Return the row's key."""
        ...

    @property
    def version(self) -> int:
        """Return how often the row was written."""
        ...

    @property
    def expires_at(self) -> datetime:
        """Return when the row expires."""
        ...

    @classmethod
    def from_stored(cls, stored: str | bytes | Mapping[str, Any]) -> Self:
        """Return the model of JSON."""
        ...

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self:
        """Return a copy with other values."""
        ...

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """Return the values."""
        ...


Row = TypeVar("Row", bound=VersionedRow)


class VersionedRows:
    """Reads and writes rows; ``name`` is what errors call them."""

    def __init__(self, client: Any, table: str, clock: Clock, wait: Callable[[float], None], name: str) -> None:
        """Use a DynamoDB client and the table's name; ``clock`` decides which rows have expired."""
        self._client = client
        self._table = table
        self._clock = clock
        self._wait = wait
        self._name = name

    def read(self, keys: Collection[str], kind: type[Row]) -> dict[str, Row]:
        """Return the rows that there are and have not expired, by their keys."""
        return {row.key: row for row in self._rows(keys, kind)}

    def write(self, row: Row) -> Row:
        """Write the next version of the row that was read; raise ``ConditionFailed`` if there is another since."""
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
            with aws_errors(f"writing {self._name}"):
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
            if self.read([row.key], type(row)).get(row.key) == written:
                return written
            raise ConditionFailed(f"another process changed {self._name}", retry_is_safe=True) from None
        return written

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
            with aws_errors(f"reading {self._name}"):
                answer = self._client.batch_get_item(RequestItems=request)
            yield from answer.get("Responses", {}).get(self._table, ())
            request = answer.get("UnprocessedKeys")
            if not request:
                return
        raise Throttled(f"{self._name} could not be read whole")
