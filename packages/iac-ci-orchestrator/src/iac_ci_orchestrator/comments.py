"""Updates the comment on the pull request: at most every five seconds, and always at the run's end."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from iac_ci_common.begun_orders import as_begun
from iac_ci_common.errors import IacCiError
from iac_ci_common.models.plan_text import PlanText
from iac_ci_common.models.result import Result
from iac_ci_common.progress import did_not_succeed
from iac_ci_common.run_events import run_event
from iac_ci_orchestrator.results import read_result
from iac_ci_vcs.reporting import FailedLog, OrderPlan
from iac_ci_vcs.reporting.publish import publish
from iac_ci_vcs.reporting.question import question_name, render_question

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from iac_ci_common.models.lock import Lock
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_orchestrator.ports import OrchestratorPorts

BETWEEN_EDITS: Final = timedelta(seconds=5)
"""Shortest time between two edits, because code hosts throttle more frequent ones."""

MAX_LOGS: Final = 10
"""Most logs of failed orders in one comment; each costs a read."""

MAX_QUESTIONS: Final = 5
"""Most orders of a run whose approvals are asked for in comments of their own; the run's comment names the others."""

MAX_PLANS: Final = 300
"""Most orders whose plans are read for one comment; of others it shows the counts."""


@dataclass(frozen=True, slots=True)
class CommentState:
    """When the comment was last updated, and whether it is out of date."""

    updated_at: datetime | None = None
    stale: bool = False

    @staticmethod
    def of(lock: Lock) -> CommentState:
        """Return the state that the lock's last owner saved."""
        return CommentState(lock.reported_at, lock.comment_behind)

    def onto(self, lock: Lock) -> Lock:
        """Return the lock with this state, for the next owner."""
        return lock.model_copy(update={"reported_at": self.updated_at, "comment_behind": self.stale})


def now_due(state: CommentState, now: datetime) -> bool:
    """Return whether an edit is allowed now; the preparation's comment counts as the first."""
    return state.updated_at is not None and now - state.updated_at >= BETWEEN_EDITS


def no_link(run_id: str, order_num: str, attempt: int) -> str | None:  # noqa: ARG001 - the signature of log_link
    """Return None: there is no page of the log."""
    return None


def no_page(run: RunRow, now: datetime) -> str | None:  # noqa: ARG001 - the signature of page_link
    """Return None: there is no page of the run."""
    return None


class Commenter:
    """Writes the run's comment. A failure of the code host is logged and recorded, but does not fail the run."""

    def __init__(
        self,
        ports: OrchestratorPorts,
        log_link: Callable[[str, str, int], str | None],
        page_link: Callable[[RunRow, datetime], str | None] = no_page,
    ) -> None:
        """Use these ports.

        ``log_link`` returns the URL of the whole log of an order's attempt, ``page_link`` that of a run's page.
        """
        self._ports = ports
        self._log_link = log_link
        self._page_link = page_link

    def update(self, run: RunRow, orders: Sequence[OrderRow], state: CommentState, *, changed: bool) -> CommentState:
        """Edit the comment if it is stale and an edit is allowed; else a later pass, or the watchdog's nudge, does."""
        postponed = self.postponed(run, state, changed=changed)
        if postponed is not None:
            return postponed
        self._publish(run, orders, with_status=False)
        # This holds also after a failure: it is recorded, and the next change or the run's end edits again.
        return CommentState(self._ports.clock.now(), stale=False)

    def postponed(self, run: RunRow, state: CommentState, *, changed: bool) -> CommentState | None:
        """Return the state of a comment that is not edited now, None if it is stale and an edit is allowed."""
        if run.report is None:
            return state
        now = self._ports.clock.now()
        if state.updated_at is None:
            return CommentState(now, stale=changed)
        stale = state.stale or changed
        return None if stale and now_due(state, now) else CommentState(state.updated_at, stale)

    def ask(self, run: RunRow, orders: Sequence[OrderRow], asking: Sequence[OrderRow]) -> None:
        """Show at once, in comment and status, that orders wait for an approval; write a new comment for each.

        Hosts notify people of new comments, and of no edit.
        """
        with self._ports.reports.session():
            self._publish(run, orders, with_status=True)
            self.update_questions(run, orders, asking)

    def update_questions(self, run: RunRow, orders: Sequence[OrderRow], changed: Sequence[OrderRow]) -> None:
        """Write the comment of each changed order that waits for an approval, or has waited.

        Of all ``orders``, the first ``MAX_QUESTIONS`` with an approval have a comment.
        """
        report = run.report
        if report is None or report.number is None or not changed:
            return
        with_comment = sorted(order.order_num for order in orders if order.approval is not None)[:MAX_QUESTIONS]
        with self._ports.reports.session():
            for order in changed:
                if order.order_num not in with_comment:
                    continue
                try:
                    write = partial(render_question, run, order)
                    self._ports.reports.publish(report, run_id=question_name(order), write=write)
                except IacCiError as error:
                    self._failed(run, "comment_failed", error)

    def finish(self, run: RunRow, orders: Sequence[OrderRow]) -> IacCiError | None:
        """Write the run's last comment, without waiting, and set the commit's status.

        Return why the status could not be set, None if it was.
        """
        return self._publish(run, orders, with_status=True).get("status_failed")

    def _publish(self, run: RunRow, orders: Sequence[OrderRow], *, with_status: bool) -> dict[str, IacCiError]:
        """Write the comment; with the status come the plans' texts, each of which costs a read. Return the failures."""
        if run.report is None:
            return {}
        ports = self._ports
        with suppress(IacCiError):
            orders = as_begun(ports.objects, orders)
        logs = self._logs(orders)
        plans = self._plans(orders) if with_status and run.report.number is not None else []
        page = self._page_link(run, ports.clock.now())
        published = publish(ports.reports, run, orders, logs=logs, plans=plans, page=page, with_status=with_status)
        for kind, error in published.failed.items():
            self._failed(run, kind, error)
        return published.failed

    def _failed(self, run: RunRow, kind: str, error: IacCiError) -> None:
        ports = self._ports
        ports.logger.warning(
            "pull request comment failed", run_id=run.run_id, trace_id=run.trace_id, kind=kind, error=str(error)
        )
        ports.runs.record([run_event(run, ports.clock.now(), kind=kind, reason=error.message[:1024])])

    def _logs(self, orders: Sequence[OrderRow]) -> list[FailedLog]:
        wanted = did_not_succeed(orders)[:MAX_LOGS]
        answers = self._ports.parallel.run([partial(read_result, self._ports.objects, order) for order in wanted])
        found = zip(wanted, answers, strict=True)
        return [self._log(order, answer) for order, answer in found if isinstance(answer, Result) and answer.log_tail]

    def _plans(self, orders: Sequence[OrderRow]) -> list[OrderPlan]:
        wanted = sorted(
            (order for order in orders if order.changes is not None and not order.changes.is_nothing),
            key=lambda order: (not (order.changes and order.changes.destroy), order.order_num),
        )
        answers = self._ports.parallel.run([partial(self._plan, order) for order in wanted[:MAX_PLANS]])
        unread = [OrderPlan(order.order_num, PlanText()) for order in wanted[MAX_PLANS:]]
        return [answer for answer in answers if isinstance(answer, OrderPlan)] + unread

    def _plan(self, order: OrderRow) -> OrderPlan | None:
        # The rest of the result, up to a mebibyte, is not kept.
        result = read_result(self._ports.objects, order)
        if result.plan is None:
            return None
        link = self._log_link(*order.attempt_key) if result.log_stored else None
        return OrderPlan(order.order_num, result.plan, link)

    def _log(self, order: OrderRow, result: Result) -> FailedLog:
        return FailedLog(
            order_num=result.order_num,
            tail=result.log_tail,
            is_whole=not result.log_truncated,
            failed_command=result.failed_command,
            link=self._log_link(*order.attempt_key) if result.log_stored else None,
            earlier=order.attempt - 1,
        )
