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
    counts = {num: one.live_parts for num, one in results.items() if one.log_stored and one.live_parts}
    for order in orders if counts else ():
        if order.order_num in counts:
            numbers = range(counts[order.order_num])
            parts = [keys.live_part(order.run_id, order.order_num, number, order.attempt) for number in numbers]
            try:
                objects.delete(parts)
            except IacCiError as error:
                logger.warning("parts of a log not removed", run_id=order.run_id, error=error.message)
