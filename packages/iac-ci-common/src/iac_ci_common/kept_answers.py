"""Keeps the first answer to an order that waits for an approval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common import keys
from iac_ci_common.errors import AlreadyExists
from iac_ci_common.models.result import Result

if TYPE_CHECKING:
    from iac_ci_common.ports import Objects


def keep_first(objects: Objects, result: Result) -> Result:
    """Write an order's answer or expiry if it is the first, and return the one that counts."""
    key = keys.answer(result.run_id, result.order_num)
    try:
        objects.create(key, result.model_dump_json().encode(), content_type="application/json")
    except AlreadyExists:
        return Result.from_stored(objects.get(key))
    return result
