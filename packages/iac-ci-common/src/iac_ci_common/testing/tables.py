"""Creates tables in an emulator of DynamoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def make_table(
    client: Any,
    name: str,
    hash_key: str,
    range_key: str | None = None,
    *,
    indexes: Mapping[str, tuple[str, str]] | None = None,
) -> None:
    """Create a table whose keys are text; ``client`` is a DynamoDB client of an emulator, never of an AWS account.

    ``indexes`` have their hash key and range key, a number, by their names.
    """
    keys = [hash_key, *([range_key] if range_key else [])]
    types = dict.fromkeys(keys, "S")
    request: dict[str, Any] = {}
    for index, (hashed, ranged) in (indexes or {}).items():
        types |= {hashed: "S", ranged: "N"}
        entry = {"IndexName": index, "KeySchema": _schema([hashed, ranged]), "Projection": {"ProjectionType": "ALL"}}
        request.setdefault("GlobalSecondaryIndexes", []).append(entry)
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=_schema(keys),
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in types.items()],
        **request,
    )


def _schema(keys: list[str]) -> list[dict[str, str]]:
    return [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)]
