"""The rows of the orders table: row ``0000`` is the run, the others its orders."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.models.base import Moment, Name, OrderNum, RunId, StoredShape, TraceId
from iac_ci_common.models.changes import Changes
from iac_ci_common.models.job import ExecutionTarget
from iac_ci_common.states import OrderState, RunState


class ReportTarget(StoredShape):
    """Where the run's comment and statuses go: one pull request or issue of one repository.

    Without a ``number`` there is no comment, only the commit's status.
    """

    repository: str
    number: int | None = None
    order_statuses: bool = False
    token_location: str | None = None
    search_tag: str | None = None


class RunRow(StoredShape):
    """The run itself. Its presence is the commit point of the preparation: without it no order is ever dispatched."""

    run_id: RunId
    order_num: Literal["0000"] = RUN_ORDER_NUM
    status: RunState
    trace_id: TraceId
    flow_id: str
    username: Name
    order_count: int
    stack_level: int = Field(
        1, ge=1, description="Level that the run was accepted under: what a version before may not be able to end."
    )
    accepted_at: Moment
    deadline: Moment
    max_parallel: int
    presign_expiry: int | None = None
    report: ReportTarget | None = None
    commit_hash: str | None = None
    preparation_error: str | None = Field(
        None, description="Why the run could not be prepared; its orders are cancelled."
    )
    cancel_reason: str | None = Field(None, description="Set when somebody asked for the run to end.")
    reason: str | None = Field(None, description="Why the run ended as it did, in plain words.")
    finished_at: Moment | None = None
    expires_at: Moment


class OrderRow(StoredShape):
    """One order. Kept small: a run of a thousand is read in one query."""

    run_id: RunId
    order_num: OrderNum
    order_name: Name
    status: OrderState
    target: ExecutionTarget
    timeout: int
    dependencies: tuple[OrderNum, ...] = ()
    must_succeed: bool = True
    code_sha256: str | None = Field(None, description="Digest of the code archive, None where the order has no code.")
    dispatched_at: Moment | None = None
    started_at: Moment | None = None
    ended_at: Moment | None = None
    order_deadline: Moment | None = Field(None, description="When the commands must have ended; set at dispatch.")
    build_id: str | None = Field(None, description="CodeBuild build of a running order.")
    exit_code: int | None = None
    changes: Changes | None = Field(None, description="What Terraform said it would change or has changed.")
    reason: str | None = Field(None, max_length=1024)
    expires_at: Moment
