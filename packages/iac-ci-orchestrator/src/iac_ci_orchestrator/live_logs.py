"""Removes the parts of logs that workers stored while commands ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common import keys
from iac_ci_common.errors import IacCiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iac_ci_common.models.result import Result
    from iac_ci_common.ports import Logger, Objects


def remove_parts(objects: Objects, logger: Logger, results: Mapping[str, Result]) -> None:
    """Remove the parts of every log that is stored whole. What stays after a failure expires after a day."""
    for result in results.values():
        if result.log_stored and result.live_parts:
            order_key = (result.run_id, result.order_num)
            try:
                objects.delete([keys.live_part(*order_key, number) for number in range(result.live_parts)])
            except IacCiError as error:
                logger.warning("parts of a log not removed", run_id=result.run_id, error=error.message)
