"""Comments on pull requests: that an apply has made their plans stale, that a project was planned again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.errors import IacCiError
from iac_ci_common.models.saved_plan import ProjectApply
from iac_ci_common.run_events import run_event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_common.models.rows import OrderRow, ReportTarget, RunRow
    from iac_ci_common.models.saved_plan import PlanRecord
    from iac_ci_orchestrator.ports import OrchestratorPorts
    from iac_ci_orchestrator.project_ledger import ProjectLedger


class StalePlans:
    """Writes into pull requests. A failure of the code host is logged and recorded, but does not fail the run."""

    def __init__(self, ports: OrchestratorPorts, ledger: ProjectLedger) -> None:
        """Use these ports."""
        self._ports = ports
        self._ledger = ledger

    def after_apply(self, run: RunRow, order: OrderRow) -> None:
        """Comment on the pull requests with plans of the project that an order applied."""
        if run.report is None or order.started_at is None:
            return
        by = ProjectApply(
            run_id=run.run_id,
            order_num=order.order_num,
            pull_request=run.report.pull_request,
            began_at=order.started_at,
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
        try:
            self._ports.reports.notify_stale(target, record, by)
        except IacCiError as error:
            self._failed(run, record, error)
        else:
            self._ledger.enter_notice(record)

    def _failed(self, run: RunRow, record: PlanRecord, error: IacCiError) -> None:
        message = f"pull request {record.pull_request} got no comment about its plan: {error.message}"
        self._ports.logger.warning("pull request comment failed", run_id=run.run_id, error=message)
        event = run_event(run, self._ports.clock.now(), kind="comment_failed", reason=message[:1024])
        self._ports.runs.record([event])
