"""Tells the pull request of a run: the commit's status and the comment."""

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
    """Write the run's comment and, ``with_status``, its commit's status, and its orders' where the job asks for them.

    Gives what failed, by the kind of event that tells of it: a code host that fails never fails a run. A status that
    could not be set is told in the comment.
    """
    failed: dict[str, IacCiError] = {}
    if run.report is None:
        return failed
    for status in _statuses(run, orders) if with_status else ():
        try:
            reports.mark(run.report, status)
        except IacCiError as error:
            # The others would fail likewise, each after its own wait.
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
    """Return the run's status first: it is the one that is waited for."""
    first = commit_status(run, orders)
    if first is None or run.report is None:
        return []
    return [first, *(order_statuses(run, orders) if run.report.order_statuses else ())]
