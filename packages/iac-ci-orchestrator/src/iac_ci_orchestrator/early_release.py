"""Decides whether a pass releases the run's lock with its writes, before it starts workers: pure.

What remains then needs no lock: a worker is started for a row that only this pass has changed to ``dispatching``. If
the process dies before that, or a start fails, a later pass dispatches the order again. The row does not become
``running`` before the order ends or the watchdog finds its claim.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from iac_ci_common.models.job import ExecutionTarget
from iac_ci_common.states import OPEN

if TYPE_CHECKING:
    from iac_ci_orchestrator.decide import Dispatch, Plan

MOST: Final = 16
"""Most orders that may start, and that may end, in such a pass: it writes one transaction, and the watchdog reads the
claim of each order that still runs at its next poll."""


def may_release_early(plan: Plan) -> bool:
    """Return whether nothing but starts of workers follows the writes of a plan, and no result is expected meanwhile.

    A result that comes before the release would make it fail. Builds are left out because the number of a build has to
    be written into the row; applies and plans of projects because the ledger may refuse their start; runs with an
    approval because a wait may have to be announced.
    """
    others = (plan.repeats, plan.adopts, plan.waits, plan.asks, plan.awaits, plan.answers, plan.expiries)
    if any(others) or plan.finish is not None or not all(map(_only_starts, plan.dispatches)):
        return False
    if not 0 < len(plan.dispatches) <= MOST or len(plan.ends) > MOST:
        return False
    if any(end.before.status not in OPEN for end in plan.ends):
        return False
    started = {dispatch.after.order_num for dispatch in plan.dispatches}
    if any(order.status in OPEN and order.order_num not in started for order in plan.orders):
        return False
    return not any(map(attrgetter("approval"), plan.orders))


def _only_starts(dispatch: Dispatch) -> bool:
    order = dispatch.after
    return not dispatch.again and order.target is not ExecutionTarget.CODEBUILD and order.project is None
