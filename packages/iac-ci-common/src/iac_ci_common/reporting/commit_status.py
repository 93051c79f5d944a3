"""The status that a run has on its commit: pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from iac_ci_common.reporting.markdown import plain
from iac_ci_common.states import RunState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_common.models.rows import OrderRow, RunRow

MAX_DESCRIPTION_CHARS: Final = 140
"""What GitHub shows of a description (GitHub REST API, "Commit statuses")."""

_TRACE_ID_CHARS: Final = 16


class CommitState(StrEnum):
    """What a code host shows beside a commit."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class CommitStatus:
    """One status. Of two with the same ``context`` on one commit the later one counts."""

    commit: str
    context: str
    state: CommitState
    description: str


_STATES: Final = {
    RunState.QUEUED: CommitState.PENDING,
    RunState.RUNNING: CommitState.PENDING,
    RunState.SUCCEEDED: CommitState.SUCCESS,
    RunState.FAILED: CommitState.FAILURE,
    RunState.TIMED_OUT: CommitState.ERROR,
    RunState.CANCELLED: CommitState.ERROR,
}


def commit_status(run: RunRow, orders: Sequence[OrderRow]) -> CommitStatus | None:
    """Give the run's status; None for a run that is about no commit.

    The context bears the flow's label, so that a plan and an apply of one commit have a status each.
    """
    if run.report is None or run.commit_hash is None:
        return None
    counts = Counter(order.status for order in orders)
    said = f"{run.run_id}: " + ", ".join(f"{count} {state.value}" for state, count in sorted(counts.items()))
    why = run.reason or run.preparation_error
    if why:
        said += f" ({plain(why)})"
    label = run.flow_id.rpartition(":")[2][_TRACE_ID_CHARS + 1 :]
    return CommitStatus(
        commit=run.commit_hash,
        context=f"iac-ci/{label}",
        state=_STATES[run.status],
        description=said if len(said) <= MAX_DESCRIPTION_CHARS else f"{said[: MAX_DESCRIPTION_CHARS - 1]}…",
    )
