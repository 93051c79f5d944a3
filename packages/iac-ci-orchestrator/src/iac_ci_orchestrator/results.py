"""Reads the results that workers and watchdogs wrote."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pydantic import ValidationError

from iac_ci_common import keys
from iac_ci_common.approvals import result_key
from iac_ci_common.errors import IacCiError, NotFound, ResultUnreadable
from iac_ci_common.limits import MAX_RESULT_BYTES
from iac_ci_common.models.result import Reporter, Result
from iac_ci_common.states import OPEN, OrderState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import Objects, Parallel


def read_results(
    objects: Objects,
    parallel: Parallel,
    orders: Sequence[OrderRow],
    named: AbstractSet[str] | None,
    stored: AbstractSet[str],
    now: datetime,
    early: Mapping[str, Result],
) -> dict[str, Result]:
    """Return the results of open orders and the answers to waiting ones, by number.

    They are those of the orders ``named``, or for None of all orders whose key is in ``stored``. Those in ``early``, by
    the keys of their objects, are not read again: a result never changes. A result that is not valid becomes a failed
    result of its order, so that it does not block the run. Raises the bucket's other errors.
    """
    if named is not None:
        wanted = [order for order in orders if order.order_num in named and _may_have_a_result(order)]
    else:
        wanted = [order for order in orders if _may_have_a_result(order) and result_key(order) in stored]
    found = {order.order_num: early[result_key(order)] for order in wanted if result_key(order) in early}
    wanted = [order for order in wanted if order.order_num not in found]
    for order, answer in zip(
        wanted, parallel.run([partial(read_result, objects, order) for order in wanted]), strict=True
    ):
        if isinstance(answer, NotFound):
            continue
        if isinstance(answer, ResultUnreadable):
            found[order.order_num] = _unreadable(order, answer, now)
        elif isinstance(answer, IacCiError):
            raise answer
        else:
            found[order.order_num] = answer
    return found


def list_callbacks(objects: Objects, orders: Sequence[OrderRow]) -> frozenset[str]:
    """Return the keys of what was written about the orders of a run, if one of them may have a result."""
    open_order = next((order for order in orders if _may_have_a_result(order)), None)
    return frozenset(objects.list(keys.callbacks(open_order.run_id))) if open_order is not None else frozenset()


def claimed(orders: Sequence[OrderRow], stored: AbstractSet[str]) -> frozenset[str]:
    """Return the numbers of the orders that are ``dispatching`` and whose claims are in ``stored``."""
    return frozenset(
        order.order_num
        for order in (orders if stored else ())
        if order.status is OrderState.DISPATCHING and keys.claim(*order.attempt_key) in stored
    )


def read_result(objects: Objects, order: OrderRow) -> Result:
    """Return an order's result; raise ``NotFound``, or ``ResultUnreadable`` if it is not valid."""
    run_id, order_num = order.run_id, order.order_num
    body = objects.get(result_key(order), max_bytes=MAX_RESULT_BYTES)
    if len(body) > MAX_RESULT_BYTES:
        message = f"the worker's result has more than {MAX_RESULT_BYTES} bytes"
        raise ResultUnreadable(message, run_id=run_id, order_num=order_num)
    try:
        result = Result.model_validate_json(body)
    except ValidationError as error:
        message = f"the worker's result is not valid: {error.error_count()} problems"
        raise ResultUnreadable(message, run_id=run_id, order_num=order_num) from error
    if (result.run_id, result.order_num) != (run_id, order_num):
        raise ResultUnreadable("the worker's result belongs to another order", run_id=run_id, order_num=order_num)
    return result


def _may_have_a_result(order: OrderRow) -> bool:
    return order.status in OPEN or order.awaits_answer


def _unreadable(order: OrderRow, error: ResultUnreadable, now: datetime) -> Result:
    return Result(
        run_id=order.run_id,
        order_num=order.order_num,
        status=OrderState.FAILED,
        reported_by=Reporter.ORCHESTRATOR,
        reason=error.message,
        ended_at=now,
    )
