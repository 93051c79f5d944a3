"""Follows plans that applies have made stale: comments, and starts those again that are to be made by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common import ids
from iac_ci_common.errors import IacCiError
from iac_ci_common.models.saved_plan import ProjectApply, Replan
from iac_ci_common.run_events import run_event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_common.models.rows import OrderRow, ReportTarget, RunRow
    from iac_ci_common.models.saved_plan import PlanRecord
    from iac_ci_orchestrator.ports import OrchestratorPorts
    from iac_ci_orchestrator.project_ledger import ProjectLedger


class StalePlans:
    """Writes into pull requests. A failure is logged and recorded, but does not fail the run."""

    def __init__(self, ports: OrchestratorPorts, ledger: ProjectLedger) -> None:
        """Use these ports."""
        self._ports = ports
        self._ledger = ledger

    def after_apply(self, run: RunRow, order: OrderRow) -> None:
        """Comment on the pull requests with plans of the project that an order applied."""
        if run.report is None:
            return
        by = ProjectApply(
            run_id=run.run_id,
            order_num=order.order_num,
            pull_request=run.report.pull_request,
            began_at=order.started_at or order.dispatched_at or run.accepted_at,
        )
        for record in self._ledger.stale(run, order):
            self._notify(run, run.report, record, by)

    def after_plan(self, run: RunRow, record: PlanRecord) -> None:
        """Replace the comment that the plan before was stale."""
        if run.report is None:
            return
        try:
            self._ports.reports.notify_planned_again(run.report, record)
        except IacCiError as error:
            self._failed(run, record, error)

    def after_run(self, run: RunRow, orders: Sequence[OrderRow]) -> None:
        """Comment on the own pull request if applies have overtaken plans of a run that has ended.

        Where the comment is there already, the run's last status has replaced that of the stale plan.
        """
        if run.report is None:
            return
        for record, by in self._ledger.overtaken(run, orders):
            self._notify(run, run.report, record, by)

    def _notify(self, run: RunRow, target: ReportTarget, record: PlanRecord, by: ProjectApply) -> None:
        """Comment and, if the project wants that, let the pull request be planned again; then enter the comment.

        All of it is repeated if this process dies before the end: a plan is made again once for an apply.
        """
        is_shown = self._show(run, target, record, by, replans=record.replans)
        # A comment that failed keeps nobody from planning: whether the pull request is open is checked there too.
        if record.replans and is_shown is not False and not self._plan_again(run, record, by):
            self._show(run, target, record, by, replans=False)
        if is_shown is not None:
            self._ledger.enter_notice(record)

    def _show(
        self, run: RunRow, target: ReportTarget, record: PlanRecord, by: ProjectApply, *, replans: bool
    ) -> bool | None:
        """Comment; return False if the pull request needs no comment, None if the comment failed."""
        try:
            return self._ports.reports.notify_stale(target, record, by, replans=replans)
        except IacCiError as error:
            self._failed(run, record, error)
            return None

    def _plan_again(self, run: RunRow, record: PlanRecord, by: ProjectApply) -> bool:
        """Start the processing that plans a pull request's project again; return whether that succeeded."""
        now = self._ports.clock.now()
        replan = Replan(
            trigger_id=ids.new_run_id(now),
            at=now,
            repository=record.repository,
            number=record.pull_request,
            plan=record.key,
            project=record.project,
            applied_by=by.run_id,
            applied_by_order=by.order_num,
            applied_by_pull_request=by.pull_request,
        )
        try:
            self._ports.invoker.plan_again(replan)
        except IacCiError as error:
            message = f"pull request {record.pull_request} is not planned again by itself: {error.message}"
            self._ports.logger.warning("plan not made again", run_id=run.run_id, trace_id=run.trace_id, error=message)
            self._record(run, "replan_failed", message)
            return False
        return True

    def _failed(self, run: RunRow, record: PlanRecord, error: IacCiError) -> None:
        message = f"pull request {record.pull_request} got no comment about its plan: {error.message}"
        self._ports.logger.warning(
            "pull request comment failed", run_id=run.run_id, trace_id=run.trace_id, error=message
        )
        self._record(run, "comment_failed", message)

    def _record(self, run: RunRow, kind: str, message: str) -> None:
        self._ports.runs.record([run_event(run, self._ports.clock.now(), kind=kind, reason=message[:1024])])
