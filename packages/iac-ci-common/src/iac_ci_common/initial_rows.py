"""Builds the rows and first events of an accepted job: pure, so that every attempt writes the same."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from iac_ci_common import keys, limits
from iac_ci_common.ids import order_num
from iac_ci_common.models.approval import StoredApproval
from iac_ci_common.models.event import Event
from iac_ci_common.models.job import ExecutionTarget, Job, Order
from iac_ci_common.models.rows import OrderRow, ReportTarget, RunRow
from iac_ci_common.module_repositories import module_keys
from iac_ci_common.purpose import purpose
from iac_ci_common.repository_url import repository_path
from iac_ci_common.run_events import accepted_event, run_event
from iac_ci_common.states import OrderState, RunState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iac_ci_common.models.answer import StoredJob
    from iac_ci_common.models.job import Concurrency
    from iac_ci_common.models.tools import StoredTool


class InitialRows(NamedTuple):
    """The rows and events that are inserted for a job."""

    run: RunRow
    orders: tuple[OrderRow, ...]
    events: tuple[Event, ...]


def order_name(order: Order, index: int) -> str:
    """Return an order's name, or ``order-<order_num>`` if it has none."""
    return order.order_name or f"order-{order_num(index)}"


def target(order: Order) -> ExecutionTarget:
    """Return where an order runs: its own target, or else Lambda if it names no size and fits there, or CodeBuild."""
    if order.use_lambda is not None:
        return ExecutionTarget.LAMBDA if order.use_lambda else ExecutionTarget.CODEBUILD
    if order.execution_target is not ExecutionTarget.AUTO:
        return order.execution_target
    fits = order.size is None and order.timeout + (order.stop_grace or 0) <= limits.MAX_LAMBDA_ORDER_SECONDS
    return ExecutionTarget.LAMBDA if fits else ExecutionTarget.CODEBUILD


def dependency_numbers(orders: Sequence[Order]) -> dict[str, str]:
    """Return the order number of every name that a dependency may use (order name or queue id)."""
    numbers: dict[str, str] = {}
    for index, order in enumerate(orders):
        numbers[order_name(order, index)] = order_num(index)
        if order.queue_id is not None:
            numbers[order.queue_id] = order_num(index)
    return numbers


def taken_numbers(order: Order, numbers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the numbers of the orders from which an order takes something; ``numbers`` are by name."""
    names = [*(taken.order for taken in order.taken_outputs().values()), *(taken.order for taken in order.restore)]
    return tuple(dict.fromkeys(numbers[name] for name in names))


def code_repository(job: Job, order: Order) -> str | None:
    """Return the URL of the repository of an order's code, None if the code is not from git."""
    if order.approval is not None:
        return None
    return order.git_repo or (job.git_repo if order.s3_location is None else None)


def build_rows(
    stored: StoredJob,
    *,
    max_parallel: int,
    code: Mapping[str, str] | None = None,
    packages: Mapping[str, str] | None = None,
    tools: Mapping[str, tuple[StoredTool, ...]] | None = None,
    comment_id: str | None = None,
    preparation_error: str | None = None,
) -> InitialRows:
    """Return the run's row, the orders' rows and their first events.

    ``code`` and ``packages`` map order numbers to the digests of their code archive and package,
    ``tools`` to the tools that are fetched for them. ``comment_id`` is the id of the comment that the run has already.
    A run with a ``preparation_error`` is inserted too, so that it ends like every other run: the orchestrator cancels
    its orders with that reason.
    """
    job = stored.job
    expires_at = stored.deadline + timedelta(seconds=limits.RETENTION_SECONDS)
    numbers = dependency_numbers(job.orders)
    rows = tuple(
        OrderRow(
            run_id=stored.run_id,
            order_num=order_num(index),
            order_name=order_name(order, index),
            status=OrderState.QUEUED,
            target=target(order),
            timeout=order.timeout,
            stop_grace=order.stop_grace,
            compute_type=None if order.size is None else stored.sizes[order.size],
            purpose=purpose(order_name(order, index), order.commands),
            dependencies=tuple(dict.fromkeys(numbers[name] for name in order.dependencies)),
            must_succeed=order.must_succeed,
            when=tuple(dict.fromkeys(numbers[name] for name in order.when)),
            attempts=order.retry.attempts if order.retry is not None else 1,
            retry_on=tuple(order.retry.on) if order.retry is not None else (),
            assume_role=order.assume_role,
            git_credentials=module_keys(order.git_credentials, code_repository(job, order)),
            takes=taken_numbers(order, numbers),
            code_sha256=(code or {}).get(order_num(index)),
            package_sha256=(packages or {}).get(order_num(index)),
            tools=(tools or {}).get(order_num(index), ()),
            project=stored.projects.get(order_name(order, index)),
            approval=_approval(order, numbers),
            group=_group(stored, order.concurrency),
            newest_in_group=order.concurrency is not None and order.concurrency.queue == "newest",
            shares_group=order.concurrency is not None and order.concurrency.shared,
            expires_at=expires_at,
        )
        for index, order in enumerate(job.orders)
    )
    run = RunRow(
        run_id=stored.run_id,
        status=RunState.QUEUED,
        trace_id=stored.trace_id,
        flow_id=stored.flow_id,
        username=job.username,
        source=stored.source,
        job_name=stored.job_name or job.flow_label,
        planned_for=stored.planned_for,
        actor=stored.actor or job.username,
        repository=_repository(job),
        branch=stored.branch,
        order_count=len(rows),
        stack_level=stored.stack_level,
        accepted_at=stored.accepted_at,
        deadline=stored.deadline,
        max_parallel=min(job.max_parallel or max_parallel, max_parallel),
        presign_expiry=job.presign_expiry,
        report=_report(stored, comment_id),
        commit_hash=job.commit_hash,
        ledger=stored.ledger,
        group=_group(stored, job.concurrency),
        newest_in_group=job.concurrency is not None and job.concurrency.queue == "newest",
        shares_group=job.concurrency is not None and job.concurrency.shared,
        preparation_error=preparation_error[:4096] if preparation_error else None,
        expires_at=expires_at,
    )
    return InitialRows(run, rows, _events(stored, run, rows))


def _approval(order: Order, numbers: Mapping[str, str]) -> StoredApproval | None:
    approval = order.approval
    if approval is None:
        return None
    return StoredApproval(
        by=tuple(dict.fromkeys(approval.by)),
        message=approval.message,
        expires=approval.expires,
        api=approval.api,
        self_approval=approval.self_approval,
        overrides=tuple(dict.fromkeys(numbers[name] for name in approval.overrides)),
    )


def _group(stored: StoredJob, concurrency: Concurrency | None) -> str | None:
    """Return the key of a group: each source has its own ones."""
    return None if concurrency is None else keys.named_group(stored.source, concurrency.group)


def _events(stored: StoredJob, run: RunRow, rows: tuple[OrderRow, ...]) -> tuple[Event, ...]:
    common = {
        "trace_id": stored.trace_id,
        "run_id": stored.run_id,
        # The time of acceptance, not of this attempt, so that a second attempt writes the same events to the same keys.
        "at": stored.accepted_at,
        "expires_at": stored.accepted_at + timedelta(seconds=limits.EVENT_RETENTION_SECONDS),
    }
    projects = sorted({project.name for project in stored.projects.values()})
    accepted = accepted_event(run, projects, rerun_of=stored.rerun_of)
    error = run.preparation_error
    failed = [] if error is None else [run_event(run, run.accepted_at, kind="preparation_failed", reason=error)]
    queued = [Event(order_num=row.order_num, order_name=row.order_name, kind="queued", **common) for row in rows]
    return (accepted, *failed, *queued)


def _repository_url(job: Job) -> str | None:
    return job.git_repo or next((order.git_repo for order in job.orders if order.git_repo), None)


def _repository(job: Job) -> str | None:
    url = _repository_url(job)
    return None if url is None else repository_path(url)


def _report(stored: StoredJob, comment_id: str | None) -> ReportTarget | None:
    job = stored.job
    number = job.pr_number or job.issue_number
    repository = _repository_url(job)
    if repository is None or (number is None and not job.commit_status):
        return None
    return ReportTarget(
        repository=repository,
        number=number,
        pull_request=job.pr_number,
        order_statuses=job.order_statuses,
        token_location=job.git_token_location,
        search_tag=job.pr_comment_search_tag,
        comment_id=comment_id,
        scope=stored.scope,
        link_generation=stored.link_generation,
    )
