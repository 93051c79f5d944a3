"""Converts models to DynamoDB items: one attribute per field, readable in the console, without None."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar

from iac_ci_common.errors import StoredUnreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from iac_ci_common.models.base import StoredShape

M = TypeVar("M", bound="StoredShape")

EXPIRY: Final = "expires_at"

_NESTED: Final = frozenset(
    {"report", "changes", "outputs", "files", "kept", "project", "planned", "approval", "approval_answer"}
)
"""Fields whose value is a model."""


def item(model: BaseModel, **keys: str | int) -> dict[str, Any]:
    """Return a model as a low-level item; ``keys`` are attributes beside its fields.

    ``expires_at`` becomes epoch seconds, rounded up, as TTL needs it (Amazon DynamoDB Developer Guide, "Using time to
    live"); nested models become JSON text.
    """
    from boto3.dynamodb.types import TypeSerializer

    fields = model.model_dump(mode="json", exclude_none=True)
    expiry: datetime = getattr(model, EXPIRY)
    fields[EXPIRY] = expiry_seconds(expiry)
    serialise = TypeSerializer().serialize
    return {
        name: serialise(json.dumps(value, sort_keys=True) if isinstance(value, dict) else value)
        for name, value in (fields | keys).items()
    }


def model(kind: type[M], low_level: Mapping[str, Any]) -> M:
    """Return the model of an item; attributes that are not its fields (table keys, a newer version's) are ignored.

    They stay in the table, because rows are changed attribute by attribute. Raises ``StoredUnreadable``.
    """
    from boto3.dynamodb.types import TypeDeserializer

    deserialise = TypeDeserializer().deserialize
    fields: dict[str, Any] = {}
    for name, value in low_level.items():
        if name not in kind.model_fields:
            continue
        try:
            fields[name] = _plain(name, deserialise(value))
        except (ValueError, TypeError, OverflowError) as error:
            raise StoredUnreadable(
                f"this version of iac-ci cannot read a stored {kind.__name__} ({name} has another form): a newer "
                "version wrote it or it is damaged. Nothing was changed; deploy the newer version again, and it goes "
                "on by itself"
            ) from error
    return kind.from_stored(fields)


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, Decimal):
        value = int(value)
    if name == EXPIRY:
        return datetime.fromtimestamp(value, UTC)
    if name in _NESTED:
        return json.loads(value)
    if isinstance(value, list):
        return [int(entry) if isinstance(entry, Decimal) else entry for entry in value]
    return value


def expiry_seconds(moment: datetime) -> int:
    """Return the epoch second after which DynamoDB may delete a row."""
    return int(-(-moment.timestamp() // 1))
