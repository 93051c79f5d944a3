"""Creates tables in an emulator of DynamoDB."""

from __future__ import annotations

from typing import Any


def make_table(client: Any, name: str, hash_key: str, range_key: str | None = None) -> None:
    """Create a table whose keys are text; ``client`` is a DynamoDB client of an emulator, never of an AWS account."""
    names = [hash_key, *([range_key] if range_key else [])]
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": key, "KeyType": kind} for key, kind in zip(names, ("HASH", "RANGE"), strict=False)
        ],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in names],
    )
