"""Builds the commit statuses of a run and its orders. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from iac_ci_common import limits
from iac_ci_common.progress import state_words
from iac_ci_common.states import OrderState, RunState
from iac_ci_vcs.provider import MOST_BEHIND, CommitState, CommitStatus
from iac_ci_vcs.reporting.identities import without_identities
from iac_ci_vcs.reporting.markdown import plain
from iac_ci_vcs.reporting.plans import destroys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_common.models.rows import JobScope, OrderRow, RunRow

MAX_DESCRIPTION_CHARS: Final = 140
"""GitHub's limit for a description (GitHub REST API, "Commit statuses")."""

_TRACE_ID_CHARS: Final = 16
_BRANCH_CHARS: Final = 60
_MOST_NAMED: Final = 3


_STATES: Final = {
    RunState.QUEUED: CommitState.PENDING,
    RunState.RUNNING: CommitState.PENDING,
    RunState.SUCCEEDED: CommitState.SUCCESS,
    RunState.FAILED: CommitState.FAILURE,
    RunState.TIMED_OUT: CommitState.ERROR,
    RunState.CANCELLED: CommitState.ERROR,
}


ORDER_STATES: Final = {
    OrderState.SUCCEEDED: CommitState.SUCCESS,
    OrderState.FAILED: CommitState.FAILURE,
    OrderState.TIMED_OUT: CommitState.ERROR,
    OrderState.CANCELLED: CommitState.ERROR,
    OrderState.SKIPPED: CommitState.ERROR,
}


def order_statuses(run: RunRow, orders: Sequence[OrderRow], page: str | None = None) -> list[CommitStatus]:
    """Return a status for each order, with the link ``page``.

    There are none without a commit, or with more than ``limits.MAX_ORDER_STATUSES`` orders.
    """
    if run.commit_hash is None or len(orders) > limits.MAX_ORDER_STATUSES:
        return []
    return [
        CommitStatus(
            commit=run.commit_hash,
            context=f"iac-ci/{_label(run)}/{order.order_name}",
            state=CommitState.SUCCESS if order.not_needed else ORDER_STATES.get(order.status, CommitState.PENDING),
            description=cut(_order_words(order)),
            url=page,
        )
        for order in orders
    ]


def _order_words(order: OrderRow) -> str:
    if order.awaits_answer:
        return f"waits for {_reason(order.waiting_for or '')}"
    kind = " (plan to destroy)" if destroys(order) else ""
    return f"{state_words(order)}{kind}{f': {_reason(order.reason)}' if order.reason else ''}"


def commit_status(run: RunRow, orders: Sequence[OrderRow], page: str | None = None) -> CommitStatus | None:
    """Return the run's status, with the link ``page``; None for a run without a commit.

    The context contains the flow's label, so that a plan and an apply of one commit have a status each.
    """
    if run.report is None or run.commit_hash is None:
        return None
    counts = Counter(order.status for order in orders)
    waiting = [
        f"{order.order_name} waits for {_reason(order.waiting_for or '')}" for order in orders if order.awaits_answer
    ]
    # First, because hosts cut descriptions.
    description = (
        f"{run.run_id}: "
        + "".join(f"{words}; " for words in waiting[:1])
        + ", ".join(f"{count} {state.value}" for state, count in sorted(counts.items()))
    )
    why = run.reason or run.preparation_error
    destroying = [order.order_name for order in orders if destroys(order)]
    if destroying:
        description += f" · to destroy: {', '.join(destroying[:_MOST_NAMED])}"
    distance = behind(run.report.scope) if run.report.scope is not None else ""
    if distance:
        description += f" · {plain(distance)}"
    if why:
        description += f" ({_reason(why)})"
    return CommitStatus(
        commit=run.commit_hash,
        context=f"iac-ci/{_label(run)}",
        state=_STATES[run.status],
        description=cut(description),
        url=page,
    )


def behind(scope: JobScope) -> str:
    """Return how far the pull request's head was behind its base branch; empty if it was not, or nobody knows."""
    if not scope.behind:
        return ""
    count = f"more than {MOST_BEHIND - 1}" if scope.behind >= MOST_BEHIND else str(scope.behind)
    return f"{count} commit{'' if scope.behind == 1 else 's'} behind {scope.base[:_BRANCH_CHARS]}"


def target_status(run: RunRow, orders: Sequence[OrderRow], page: str | None = None) -> CommitStatus | None:
    """Return the status ``iac-ci/<job>/<target>`` of a run of a target; None for any other run.

    With a status per order, an order that is the target has one already.
    """
    report = run.report
    scope = report.scope if report is not None else None
    whole = commit_status(run, orders, page)
    if report is None or scope is None or scope.target is None or whole is None:
        return None
    context = f"{whole.context}/{scope.target}"
    taken = {status.context for status in order_statuses(run, orders)} if report.order_statuses else set()
    return None if context in taken else replace(whole, context=context)


def _label(run: RunRow) -> str:
    return run.flow_id.rpartition(":")[2][_TRACE_ID_CHARS + 1 :]


def _reason(text: str) -> str:
    return plain(without_identities(text))


def cut(text: str) -> str:
    """Return a description that is not longer than GitHub allows."""
    return text if len(text) <= MAX_DESCRIPTION_CHARS else f"{text[: MAX_DESCRIPTION_CHARS - 1]}…"
