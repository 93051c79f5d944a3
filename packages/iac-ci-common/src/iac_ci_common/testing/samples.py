"""Small, valid runs for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from iac_ci_common.initial_rows import InitialRows, build_rows
from iac_ci_common.models.answer import StoredJob
from iac_ci_common.models.job import ExecutionTarget, Job
from iac_ci_common.models.rows import OrderRow, RunRow
from iac_ci_common.states import OrderState, RunState

if TYPE_CHECKING:
    from collections.abc import Sequence

RUN_ID = "20260101T000000-0123456789ab"
TRACE_ID = "0123456789abcdef"
START = datetime(2026, 1, 1, tzinfo=UTC)


def run_row(**fields: Any) -> RunRow:
    """Return a run that was accepted at ``START`` and may take an hour."""
    values: dict[str, Any] = {
        "run_id": RUN_ID,
        "status": RunState.RUNNING,
        "trace_id": TRACE_ID,
        "flow_id": f"tests:{TRACE_ID}-flow",
        "username": "tests",
        "order_count": 1,
        "accepted_at": START,
        "deadline": START + timedelta(hours=1),
        "max_parallel": 100,
        "expires_at": START + timedelta(hours=25),
    }
    return RunRow(**(values | fields))


def order_row(num: int, **fields: Any) -> OrderRow:
    """Return the order with this number, queued and for Lambda; ``after`` are the numbers of its dependencies."""
    after: Sequence[int] = fields.pop("after", ())
    values: dict[str, Any] = {
        "run_id": RUN_ID,
        "order_num": f"{num:04d}",
        "order_name": f"order-{num}",
        "status": OrderState.QUEUED,
        "target": ExecutionTarget.LAMBDA,
        "timeout": 60,
        "dependencies": tuple(f"{number:04d}" for number in after),
        "expires_at": START + timedelta(hours=25),
    }
    return OrderRow(**(values | fields))


def stored_job(orders: Sequence[dict[str, Any]], **fields: Any) -> StoredJob:
    """Return an accepted job of these orders; ``projects``, ``scope`` and ``planned_for`` are the stored job's own."""
    own = {name: fields.pop(name) for name in ("projects", "scope", "planned_for") if name in fields}
    completed = [{"cmds": ["true"], "timeout": 60, **order} for order in orders]
    job = Job.model_validate({"username": "tests", "orders": completed, **fields})
    return StoredJob(
        run_id=RUN_ID,
        trace_id=TRACE_ID,
        flow_id=f"tests:{TRACE_ID}-flow",
        accepted_at=START,
        deadline=START + timedelta(seconds=job.job_timeout),
        source="api",
        job=job,
        sizes={order.size: f"BUILD_GENERAL1_{order.size.upper()}" for order in job.orders if order.size},
        **own,
    )


def queued(orders: Sequence[dict[str, Any]], *, max_parallel: int = 100, **fields: Any) -> InitialRows:
    """Return the rows and events of such a job."""
    return build_rows(stored_job(orders, **fields), max_parallel=max_parallel)
