"""What every stored or sent shape has in common."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

from iac_ci_common import ids


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


RunId = Annotated[str, AfterValidator(ids.check_run_id)]
TraceId = Annotated[str, AfterValidator(ids.check_trace_id)]
OrderNum = Annotated[str, AfterValidator(ids.check_order_num)]
Name = Annotated[str, AfterValidator(ids.check_name)]
Moment = Annotated[AwareDatetime, AfterValidator(_utc)]
"""A point in time, always with a zone and kept in UTC."""


class Shape(BaseModel):
    """A frozen shape that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StoredShape(Shape):
    """A shape that is stored or sent, and therefore says which version of it this is."""

    schema_version: int = 1
