"""Removes the parts of logs that workers stored while commands ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common import keys
from iac_ci_common.errors import IacCiError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iac_ci_common.models.result import Result
    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import Logger, Objects


def remove_parts(objects: Objects, logger: Logger, orders: Sequence[OrderRow], results: Mapping[str, Result]) -> None:
    """Remove the parts of every log that is stored whole. What stays after a failure expires after a day.

    ``orders`` are the rows that the results were read for, whose attempts the results are of.
    """
    have_parts = any(result.log_stored and result.live_parts for result in results.values())
    for order in orders if have_parts else ():
        result = results.get(order.order_num)
        if result is not None and result.log_stored and result.live_parts:
            numbers = range(result.live_parts)
            parts = [keys.live_part(order.run_id, order.order_num, number, order.attempt) for number in numbers]
            try:
                objects.delete(parts)
            except IacCiError as error:
                logger.warning("parts of a log not removed", run_id=result.run_id, error=error.message)
