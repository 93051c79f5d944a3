"""Ledgers in the DynamoDB table locks: one row each, with conditional writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.aws.rows import expiry_seconds
from iac_ci_common.errors import ConditionFailed
from iac_ci_triggers.ledger import Ledger

if TYPE_CHECKING:
    from iac_ci_common.ports import Clock


class DynamoLedgers:
    """The rows ``pull:…`` and ``branch:…``."""

    def __init__(self, client: Any, table: str, clock: Clock) -> None:
        """Use a DynamoDB client and the table's name; ``clock`` decides which rows have expired."""
        self._client = client
        self._table = table
        self._clock = clock

    def read(self, key: str) -> Ledger | None:
        """Return a ledger by a consistent read, None if there is none or it has expired."""
        with aws_errors("reading a ledger"):
            answer = self._client.get_item(TableName=self._table, Key={"lock_key": {"S": key}}, ConsistentRead=True)
        if "Item" not in answer:
            return None
        ledger = Ledger.from_stored(answer["Item"]["ledger"]["S"])
        return ledger if ledger.expires_at > self._clock.now() else None

    def write(self, ledger: Ledger) -> Ledger:
        """Write the next version of a ledger."""
        written = ledger.model_copy(update={"version": ledger.version + 1})
        try:
            with aws_errors("writing a ledger"):
                if ledger.version:
                    self._change(ledger.version, written)
                else:
                    self._create(written)
        except ConditionFailed:
            # botocore repeats a call whose answer was lost; then the table already has this version.
            if self.read(ledger.key) == written:
                return written
            raise ConditionFailed("another event changed the ledger", retry_is_safe=True) from None
        return written

    def _create(self, ledger: Ledger) -> None:
        """Write the first version of a ledger; an expired ledger is replaced."""
        new_or_expired = "attribute_not_exists(lock_key) OR expires_at <= :now"
        self._client.put_item(
            TableName=self._table,
            Item={"lock_key": {"S": ledger.key}, **_attributes(ledger)},
            ConditionExpression=new_or_expired,
            ExpressionAttributeValues={":now": {"N": str(int(self._clock.now().timestamp()))}},
        )

    def _change(self, version_read: int, ledger: Ledger) -> None:
        """Update only the attributes that this version of the engine writes, and keep others."""
        unchanged = "version = :version_read"
        attributes = _attributes(ledger)
        self._client.update_item(
            TableName=self._table,
            Key={"lock_key": {"S": ledger.key}},
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in attributes),
            ConditionExpression=unchanged,
            ExpressionAttributeNames={f"#{name}": name for name in attributes},
            ExpressionAttributeValues={
                ":version_read": {"N": str(version_read)},
                **{f":{name}": value for name, value in attributes.items()},
            },
        )


def _attributes(ledger: Ledger) -> dict[str, dict[str, str]]:
    return {
        "version": {"N": str(ledger.version)},
        "ledger": {"S": json.dumps(ledger.model_dump(mode="json"))},
        "expires_at": {"N": str(expiry_seconds(ledger.expires_at))},
    }
