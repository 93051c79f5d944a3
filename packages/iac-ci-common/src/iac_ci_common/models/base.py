"""Base classes and types of the stored or sent models."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from iac_ci_common import ids
from iac_ci_common.errors import StoredUnreadable

if TYPE_CHECKING:
    from collections.abc import Mapping


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is before the year 1 or after the year 9999 in UTC") from None


def _name(value: str) -> str:
    try:
        return ids.check_name(value)
    except ValueError:
        # The value is not repeated: people have put addresses with their passwords here.
        raise ValueError("must be 1 to 128 letters, digits, _ or -, beginning with a letter or digit") from None


RunId = Annotated[str, AfterValidator(ids.check_run_id)]
TraceId = Annotated[str, AfterValidator(ids.check_trace_id)]
OrderNum = Annotated[str, AfterValidator(ids.check_order_num)]
Name = Annotated[str, AfterValidator(_name)]
Moment = Annotated[AwareDatetime, AfterValidator(_utc)]
"""A point in time with a time zone, converted to UTC."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 digest in hexadecimal."""
DispatchId = Annotated[str, Field(pattern=r"^[0-9]{1,16}$")]
"""A dispatch of an order: the milliseconds since 1970 at which it was dispatched."""

DEFERRED: Final = True
"""Whether a model's validator is built when it is first used: a function imports many models that it never uses.

Threads may use a model for the first time together: pydantic locks the building since 2.14.
"""


class Shape(BaseModel):
    """A frozen model that people write and that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=DEFERRED)


class StoredShape(BaseModel):
    """A frozen model that one function stores or sends and another reads, perhaps of another version.

    Unknown fields are kept: they only affect equality and are written again with the others, so that an older version
    does not lose them. ``schema_version`` is the version of the model when it was written.
    """

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=DEFERRED)

    schema_version: int = 1

    @classmethod
    def from_stored(cls, stored: str | bytes | Mapping[str, Any]) -> Self:
        """Return the model of JSON or of parsed JSON. Raise ``StoredUnreadable``, which repeats no value."""
        try:
            if isinstance(stored, str | bytes):
                return cls.model_validate_json(stored)
            return cls.model_validate(stored)
        except ValidationError as error:
            entries = error.errors(include_url=False, include_context=False, include_input=False)
            problems = "; ".join(_problem(entry) for entry in entries)
            raise StoredUnreadable(
                f"this version of iac-ci cannot read a stored {cls.__name__} ({problems[:500]}): a newer version wrote "
                "it or it is damaged. Nothing was changed; deploy the newer version again and the run continues"
            ) from None


def _problem(entry: Any) -> str:
    """Return a problem's path and message, without values: messages of validators and paths of keys contain them."""
    path = entry["loc"][:-2] if entry["loc"][-1:] == ("[key]",) else entry["loc"]
    message = "is not valid" if entry["type"] in {"value_error", "assertion_error"} else entry["msg"]
    return f"{'.'.join(map(str, path)) or 'the whole value'}: {message}"
