"""Ledgers in the table locks: one row each, written on condition of what was read."""

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
        """Use a DynamoDB client and the table's name; the clock tells which rows TTL has yet to delete."""
        self._client = client
        self._table = table
        self._clock = clock

    def read(self, key: str) -> Ledger | None:
        """Read a ledger, consistently."""
        with aws_errors("reading what was started"):
            answer = self._client.get_item(TableName=self._table, Key={"lock_key": {"S": key}}, ConsistentRead=True)
        if "Item" not in answer:
            return None
        ledger = Ledger.from_stored(answer["Item"]["ledger"]["S"])
        return ledger if ledger.expires_at > self._clock.now() else None

    def write(self, ledger: Ledger) -> Ledger:
        """Write the successor of what was read."""
        written = ledger.model_copy(update={"version": ledger.version + 1})
        try:
            with aws_errors("writing what was started"):
                if ledger.version:
                    self._change(ledger.version, written)
                else:
                    self._create(written)
        except ConditionFailed:
            # botocore asks again where an answer was lost: then what stands there is our own.
            if self.read(ledger.key) == written:
                return written
            raise ConditionFailed("somebody else wrote what was started in between", retry_is_safe=True) from None
        return written

    def _create(self, ledger: Ledger) -> None:
        """Write the first one; of an expired one that still stands nothing is kept."""
        new_or_expired = "attribute_not_exists(lock_key) OR expires_at <= :now"
        self._client.put_item(
            TableName=self._table,
            Item={"lock_key": {"S": ledger.key}, **_attributes(ledger)},
            ConditionExpression=new_or_expired,
            ExpressionAttributeValues={":now": {"N": str(int(self._clock.now().timestamp()))}},
        )

    def _change(self, version_read: int, ledger: Ledger) -> None:
        """Set our attributes alone: others are a newer version's."""
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
