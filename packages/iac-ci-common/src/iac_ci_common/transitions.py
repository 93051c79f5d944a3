"""When a planned move is legal, and when it still fits: the same rule for every adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.errors import IllegalMove
from iac_ci_common.models.rows import OrderRow, RunRow
from iac_ci_common.states import OrderState, check_order_move, check_run_move

if TYPE_CHECKING:
    from iac_ci_common.ports import Move


def check_move(move: Move) -> None:
    """Raise ``IllegalMove`` unless the state table knows the move and it stays on one row.

    The one move that keeps its state is the renewed dispatch of an order that stayed ``dispatching``.
    """
    before, after = move.before, move.after
    if (before.run_id, before.order_num) != (after.run_id, after.order_num):
        raise IllegalMove("a move cannot change rows", run_id=before.run_id, order_num=before.order_num)
    if isinstance(before, RunRow) and isinstance(after, RunRow):
        check_run_move(before.status, after.status)
    elif isinstance(before, OrderRow) and isinstance(after, OrderRow):
        if before.status is OrderState.DISPATCHING and after.status is OrderState.DISPATCHING:
            return
        check_order_move(before.status, after.status)
    else:
        raise IllegalMove("a move cannot turn a run into an order", run_id=before.run_id, order_num=before.order_num)


def holds(move: Move, current: OrderRow | RunRow) -> bool:
    """Say whether the row is still as the move was planned for: the same status and, of orders, the same dispatch."""
    if isinstance(move.before, OrderRow) and isinstance(current, OrderRow):
        return current.status is move.before.status and current.dispatched_at == move.before.dispatched_at
    return current.status == move.before.status
