"""Publishes a run's comment and commit statuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.errors import IacCiError
from iac_ci_vcs.reporting import commit_status, order_statuses, render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_vcs.ports import Reports
    from iac_ci_vcs.provider import CommitStatus
    from iac_ci_vcs.reporting import FailedLog


def publish(
    reports: Reports, run: RunRow, orders: Sequence[OrderRow], *, logs: Sequence[FailedLog] = (), with_status: bool
) -> dict[str, IacCiError]:
    """Write the run's comment and, if ``with_status``, the commit statuses of the run and (on request) of its orders.

    Returns the errors by kind of event (``status_failed``, ``comment_failed``) instead of raising them: a code host
    that fails never fails a run. The comment shows the error of a status that could not be set.
    """
    failed: dict[str, IacCiError] = {}
    if run.report is None:
        return failed
    for status in _statuses(run, orders) if with_status else ():
        try:
            reports.mark(run.report, status)
        except IacCiError as error:
            # The other statuses would fail too, each after its own wait.
            failed["status_failed"] = error
            break
    if run.report.number is None:
        return failed
    unset = failed.get("status_failed")

    def write(limit: int) -> str:
        status_error = unset.message if unset is not None else None
        return render(run, orders, logs=logs, status_error=status_error, limit=limit)

    try:
        reports.publish(run.report, run_id=run.run_id, write=write)
    except IacCiError as error:
        failed["comment_failed"] = error
    return failed


def _statuses(run: RunRow, orders: Sequence[OrderRow]) -> list[CommitStatus]:
    """Return the statuses, the run's own first, because reviewers and branch rules wait for it."""
    first = commit_status(run, orders)
    if first is None or run.report is None:
        return []
    return [first, *(order_statuses(run, orders) if run.report.order_statuses else ())]
