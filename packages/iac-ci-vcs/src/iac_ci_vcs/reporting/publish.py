"""Publishes a run's comment and commit statuses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from iac_ci_common.errors import IacCiError
from iac_ci_common.states import RUN_TERMINAL
from iac_ci_vcs.reporting import commit_status, order_statuses, render, target_status
from iac_ci_vcs.reporting.folded_status import part_of_run, plans_for, plans_of_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from iac_ci_common.models.rows import OrderRow, ReportTarget, RunRow
    from iac_ci_vcs.ports import Reports
    from iac_ci_vcs.provider import CommentStyle
    from iac_ci_vcs.reporting import FailedLog, OrderPlan


@dataclass(slots=True)
class Published:
    """What became of a report: the id of its comment, None if there is none, and the errors by kind of event."""

    comment_id: str | None = None
    failed: dict[str, IacCiError] = field(default_factory=dict)


def publish(
    reports: Reports,
    run: RunRow,
    orders: Sequence[OrderRow],
    *,
    logs: Sequence[FailedLog] = (),
    plans: Sequence[OrderPlan] = (),
    not_run: Sequence[str] = (),
    page: str | None = None,
    is_first: bool = False,
    with_status: bool,
) -> Published:
    """Write the run's comment and, if ``with_status``, the commit statuses of the run and (on request) of its orders.

    The status of a pull request's job speaks for all of its orders; ``not_run`` are those that this run does not run.
    ``page`` is the link to the run's page, if reports may have one.
    ``is_first`` says that the run has no comment yet.
    Returns the errors by kind of event (``status_failed``, ``comment_failed``) instead of raising them: a code host
    that fails never fails a run. The comment shows the error of a status that could not be set.
    """
    published = Published()
    if run.report is None:
        return published
    with reports.session():
        if with_status:
            error = _first_error(_marks(reports, run.report, run, orders, not_run, page))
            if error is not None:
                published.failed["status_failed"] = error
        if run.report.number is None:
            return published
        unset = published.failed.get("status_failed")

        def write(style: CommentStyle) -> str:
            status_error = unset.message if unset is not None else None
            return render(run, orders, logs=logs, plans=plans, status_error=status_error, page=page, style=style)

        known = run.report.comment_id
        try:
            published.comment_id = reports.publish(
                run.report, run_id=run.run_id, write=write, is_first=is_first, comment_id=known
            )
        except IacCiError as error:
            published.failed["comment_failed"] = error
    return published


def _first_error(marks: Iterable[Callable[[], object]]) -> IacCiError | None:
    """Set the statuses and return the first error, None if all are set; of a host that fails, its error.

    A status that the host refuses stops no other one. A host that fails stops all: each would fail after its own wait.
    """
    first = None
    for mark in marks:
        try:
            mark()
        except IacCiError as error:
            if error.retry_is_safe:
                return error
            first = first or error
    return first


def _marks(
    reports: Reports,
    target: ReportTarget,
    run: RunRow,
    orders: Sequence[OrderRow],
    not_run: Sequence[str],
    page: str | None,
) -> Iterator[Callable[[], object]]:
    """Yield what sets each status, the job's own first, because reviewers and branch rules wait for it."""
    own = commit_status(run, orders, page)
    if own is None:
        return
    named = target_status(run, orders, page)
    part = part_of_run(run, orders, not_run, target.scope.target if named and target.scope else None)
    yield partial(reports.mark, target, own) if part is None else partial(reports.mark_job, target, own, part)
    planned = plans_of_run(run, orders)
    scope = target.scope
    if planned is not None and scope is not None and run.status in RUN_TERMINAL:
        for name in scope.before_merge:
            context = replace(own, context=f"iac-ci/{name}")
            yield partial(reports.mark_planned, target, context, plans_for(planned, name))
    for status in (*([named] if named else ()), *(order_statuses(run, orders, page) if target.order_statuses else ())):
        yield partial(reports.mark, target, status)
