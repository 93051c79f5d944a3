"""Webhook deliveries in the DynamoDB table locks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iac_ci_common.aws import transactions
from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.aws.rows import item, model
from iac_ci_common.errors import ConditionFailed
from iac_ci_common.models.lock import Delivery

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class DynamoDeliveries:
    """Deliveries that the engine has received."""

    def __init__(self, client: Any, table: str) -> None:
        """Use a DynamoDB client and the table's name."""
        self._client = client
        self._table = table

    def remember(self, deliveries: Sequence[Delivery], *, now: datetime) -> Delivery | None:
        """Remember all deliveries in one transaction; or none, and return the first that is remembered already."""
        # DynamoDB deletes expired rows late, so an expired row counts as missing.
        new_or_expired = "attribute_not_exists(lock_key) OR expires_at <= :now"
        group = [
            {
                "Put": {
                    "TableName": self._table,
                    "Item": item(delivery, lock_key=delivery.key),
                    "ConditionExpression": new_or_expired,
                    "ExpressionAttributeValues": {":now": {"N": str(int(now.timestamp()))}},
                }
            }
            for delivery in deliveries
        ]
        if not transactions.write(self._client, [group]):
            return None
        for delivery in deliveries:
            with aws_errors("reading a delivery"):
                answer = self._client.get_item(TableName=self._table, Key=_key(delivery.key), ConsistentRead=True)
            if "Item" in answer:
                seen = model(Delivery, answer["Item"])
                if seen.expires_at > now:
                    return seen
        raise ConditionFailed("a delivery was remembered and has expired since", retry_is_safe=True)

    def answer(self, key: str, answer: str) -> None:
        """Save the answer to a remembered delivery."""
        with aws_errors("saving an answer"):
            self._client.update_item(
                TableName=self._table,
                Key=_key(key),
                UpdateExpression="SET answer = :answer",
                ConditionExpression="attribute_exists(lock_key)",
                ExpressionAttributeValues={":answer": {"S": answer}},
            )


def _key(lock_key: str) -> dict[str, dict[str, str]]:
    return {"lock_key": {"S": lock_key}}
