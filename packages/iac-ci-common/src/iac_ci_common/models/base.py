"""What every stored or sent shape has in common."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, ValidationError

from iac_ci_common import ids
from iac_ci_common.errors import StoredUnreadable

if TYPE_CHECKING:
    from collections.abc import Mapping


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


RunId = Annotated[str, AfterValidator(ids.check_run_id)]
TraceId = Annotated[str, AfterValidator(ids.check_trace_id)]
OrderNum = Annotated[str, AfterValidator(ids.check_order_num)]
Name = Annotated[str, AfterValidator(ids.check_name)]
Moment = Annotated[AwareDatetime, AfterValidator(_utc)]
"""A point in time, always with a zone and kept in UTC."""


class Shape(BaseModel):
    """A frozen shape that people write and that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StoredShape(BaseModel):
    """A frozen shape that is stored or sent by one function and read by another, perhaps of another version.

    Fields that this version does not know are kept: they take part in nothing but equality and are written again with
    the others, so that a version before the one that wrote them loses nothing. ``schema_version`` is the version that
    the shape was written under.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    schema_version: int = 1

    @classmethod
    def from_stored(cls, stored: str | bytes | Mapping[str, Any]) -> Self:
        """Read JSON, or what was read from it; raise ``StoredUnreadable``, which repeats no value."""
        try:
            if isinstance(stored, str | bytes):
                return cls.model_validate_json(stored)
            return cls.model_validate(stored)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            wrong = "; ".join(_problem(entry) for entry in found)
            raise StoredUnreadable(
                f"this version of iac-ci cannot read a stored {cls.__name__} ({wrong[:500]}): a newer version wrote it "
                "or it is damaged. Nothing was changed; deploy the newer version again, and it goes on by itself"
            ) from None


def _problem(entry: Any) -> str:
    """Return what is wrong where, without a value: the texts of our own checks and the place of a key repeat it."""
    place = entry["loc"][:-2] if entry["loc"][-1:] == ("[key]",) else entry["loc"]
    what = "is not valid" if entry["type"] in {"value_error", "assertion_error"} else entry["msg"]
    return f"{'.'.join(map(str, place)) or 'all of it'}: {what}"
