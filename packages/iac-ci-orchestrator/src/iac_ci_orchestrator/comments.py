"""Keeps the comment on the pull request up to date: not too often, and the last word always."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from iac_ci_common.models.result import Result
from iac_ci_common.progress import did_not_succeed
from iac_ci_orchestrator.event_records import run_event
from iac_ci_orchestrator.results import read_result
from iac_ci_vcs.reporting import FailedLog
from iac_ci_vcs.reporting.publish import publish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from iac_ci_common.models.lock import Lock
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_orchestrator.ports import OrchestratorPorts

BETWEEN_EDITS: Final = timedelta(seconds=5)
"""Hosts slow down who edits more often, and people cannot read faster."""

MAX_LOGS: Final = 10
"""Logs of failed orders in one comment: each costs a read, and more than these nobody opens."""


@dataclass(frozen=True, slots=True)
class CommentState:
    """When the comment was last updated, and whether it is out of date."""

    updated_at: datetime | None = None
    stale: bool = False

    @staticmethod
    def of(lock: Lock) -> CommentState:
        """Take up where the last holder of the lock left."""
        return CommentState(lock.reported_at, lock.comment_behind)

    def onto(self, lock: Lock) -> Lock:
        """Leave it to the next holder."""
        return lock.model_copy(update={"reported_at": self.updated_at, "comment_behind": self.stale})


def now_due(state: CommentState, now: datetime) -> bool:
    """Return whether an edit may be made; the preparation's own comment counts as the one before the first."""
    return state.updated_at is not None and now - state.updated_at >= BETWEEN_EDITS


def no_link(run_id: str, order_num: str) -> str | None:  # noqa: ARG001 - the shape of a link
    """Return no address: there is no console to look at."""
    return None


class Commenter:
    """Writes the run's comment. A code host that fails never fails the run, and is never passed over in silence."""

    def __init__(self, ports: OrchestratorPorts, log_link: Callable[[str, str], str | None]) -> None:
        """Use these ports; ``log_link`` gives where the whole log of a run's order is to be read."""
        self._ports = ports
        self._log_link = log_link

    def between(self, run: RunRow, orders: Sequence[OrderRow], state: CommentState, *, changed: bool) -> CommentState:
        """Tell what has changed, or leave it to a later pass: the run's watchdog wakes one if no other comes."""
        if run.report is None:
            return state
        now = self._ports.clock.now()
        if state.updated_at is None:
            return CommentState(now, stale=changed)
        stale = state.stale or changed
        if not stale or not now_due(state, now):
            return CommentState(state.updated_at, stale)
        self._tell(run, orders, with_status=False)
        # Also where it failed: the failure is recorded, and the next change or the end tries again.
        return CommentState(self._ports.clock.now(), stale=False)

    def last(self, run: RunRow, orders: Sequence[OrderRow]) -> None:
        """Tell the end, whenever the edit before was, and set the commit's status."""
        self._tell(run, orders, with_status=True)

    def _tell(self, run: RunRow, orders: Sequence[OrderRow], *, with_status: bool) -> None:
        if run.report is None:
            return
        ports = self._ports
        failures = publish(ports.reports, run, orders, logs=self._logs(run, orders), with_status=with_status)
        for kind, error in failures.items():
            ports.logger.warning("the pull request was not told", run_id=run.run_id, kind=kind, error=str(error))
            ports.runs.record([run_event(run, ports.clock.now(), kind=kind, reason=error.message[:1024])])

    def _logs(self, run: RunRow, orders: Sequence[OrderRow]) -> list[FailedLog]:
        wanted = did_not_succeed(orders)[:MAX_LOGS]
        answers = self._ports.parallel.run([partial(read_result, self._ports.objects, order) for order in wanted])
        return [self._log(run, answer) for answer in answers if isinstance(answer, Result) and answer.log_tail]

    def _log(self, run: RunRow, result: Result) -> FailedLog:
        return FailedLog(
            order_num=result.order_num,
            tail=result.log_tail,
            is_whole=not result.log_truncated,
            failed_command=result.failed_command,
            link=self._log_link(run.run_id, result.order_num) if result.log_stored else None,
        )
