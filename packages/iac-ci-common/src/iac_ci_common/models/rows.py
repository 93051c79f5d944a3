"""The rows of the orders table: row ``0000`` is the run, the others its orders."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.limits import (
    DEFAULT_STOP_GRACE_SECONDS,
    HEARTBEAT_SECONDS,
    MAX_WAITING_CHARS,
    STOP_GRACE_SECONDS,
    WAITED_HEARTBEAT_SECONDS,
)
from iac_ci_common.models.approval import ApprovalAnswer, StoredApproval
from iac_ci_common.models.base import Moment, Name, OrderNum, RunId, Sha256, StoredShape, TraceId
from iac_ci_common.models.changes import Changes
from iac_ci_common.models.job import ExecutionTarget
from iac_ci_common.models.saved_plan import OrderProject, PlannedFile
from iac_ci_common.models.sealed import Sealed
from iac_ci_common.models.tools import StoredTool
from iac_ci_common.purpose import SUPERSEDED, Purpose
from iac_ci_common.states import OrderState, RunState


class RequirementTick(StoredShape):
    """One requirement of an apply, as it was when its plan began: ``standing`` is met, not met, or not known.

    ``command`` is the comment that applies.
    """

    command: str
    standing: str
    text: str


class JobScope(StoredShape):
    """What a run is of the job that its pull request's event or comment started.

    ``base`` is the base branch. ``whole`` says whether the run has all orders that the job has for this pull request;
    ``target`` is the order or value of the matrix that a comment named. ``before_merge`` are the jobs that wait for
    comments before the merge: the run's plans show what they have to do. ``configuration`` is the digest of the
    base branch's configuration when the run was started. ``merge_into`` is the commit of the
    base branch that the code was merged into, None if it was not. ``behind`` is how many commits of the base branch the
    pull request's head did not have then (101 stands for more than 100), None if the host did not tell it. ``because``
    is why the engine started the run by itself, None if an event or a comment did. ``requirements`` are
    those of applying what the run plans. ``merge_when_applied`` says that the pull request is merged when everything is
    applied; ``appliers`` are then the orders ``<job>/<order>`` that apply plans of the run and that no event has named,
    with the orders ``<job>/<order>`` that plan.
    """

    base: str
    whole: bool = True
    target: str | None = None
    before_merge: tuple[str, ...] = ()
    configuration: str = ""
    merge_into: str | None = None
    merge_commit: str | None = None
    behind: int | None = None
    because: str | None = Field(None, max_length=512)
    requirements: tuple[RequirementTick, ...] = ()
    merge_when_applied: bool = False
    appliers: dict[str, str] = Field(default_factory=dict)


class ReportTarget(StoredShape):
    """The pull request or issue for the run's comment and statuses.

    Without a ``number`` the run has no comment, only a status of the commit.
    """

    repository: str
    number: int | None = None
    pull_request: int | None = Field(
        None, description="The number if it is a pull request's; None for an issue, and in a row of a version before."
    )
    order_statuses: bool = False
    token_location: str | None = None
    search_tag: str | None = None
    comment_id: str | None = Field(
        None, description="Id of the run's comment; None if it is not known, as in a row of a version before."
    )
    scope: JobScope | None = Field(
        None, description="What the run is of its job; None for a signed job, a push, or a row of a version before."
    )
    link_generation: int | None = Field(
        None,
        ge=0,
        description="Generation of links to the run's page; None if the host did not call the repository private.",
    )


class RunRow(StoredShape):
    """The run itself. Its presence commits the preparation: without it no order is dispatched."""

    run_id: RunId
    order_num: Literal["0000"] = RUN_ORDER_NUM
    status: RunState
    trace_id: TraceId
    flow_id: str
    username: Name
    source: str | None = Field(None, description="Source of the job; None in the row of a version before.")
    job_name: str | None = Field(None, description="Name of the configured job, or the flow label of a signed job.")
    planned_for: Moment | None = Field(None, description="Minute of the schedule that started the run, if one did.")
    actor: str | None = Field(None, description="Who started the run: the account on the code host, or the username.")
    repository: str | None = Field(
        None, description="Repository of the code as `host/path`, in lower case; None if there is none."
    )
    branch: str | None = Field(None, description="Branch of the pull request or push; None for a signed job.")
    order_count: int
    stack_level: int = Field(
        1, ge=1, description="Level that the run was accepted under: what a version before may not be able to end."
    )
    watchdog: int = Field(1, ge=1, description="Number of the execution that looks after the run.")
    accepted_at: Moment
    deadline: Moment
    max_parallel: int
    presign_expiry: int | None = None
    report: ReportTarget | None = None
    commit_hash: str | None = None
    ledger: str | None = Field(None, description="Key of the ledger that lists the run, if an event started it.")
    group: str | None = Field(None, description="Key of the concurrency group that the run's job names.")
    newest_in_group: bool = Field(False, description="True for `queue: newest` of that group.")
    shares_group: bool = Field(False, description="True if the run may hold that group beside others that share it.")
    preparation_error: str | None = Field(
        None, description="Why the run could not be prepared; its orders are cancelled."
    )
    cancel_reason: str | None = Field(None, description="Set if the run was cancelled by request.")
    stop_reason: str | None = Field(
        None,
        description="Set if running commands, except applies, were asked to stop; a cancellation lets them finish.",
    )
    stop_soon: bool = Field(False, description="True if that was asked for again: the rest of the grace is shortened.")
    followed_until: Moment | None = Field(None, description="Until when logs of the run are followed.")
    waited_until: Moment | None = Field(None, description="Until when a person waits for the run without its logs.")
    reason: str | None = Field(None, description="Why the run ended with its status, in plain words.")
    finished_at: Moment | None = None
    expires_at: Moment

    def is_followed(self, now: datetime) -> bool:
        """Return whether someone follows the logs of the run, so that workers send them often."""
        return self.followed_until is not None and self.followed_until > now

    def heartbeat_seconds(self, now: datetime) -> int:
        """Return the seconds between two trades of the run's workers: fewer while a person follows or waits."""
        is_waited_for = self.waited_until is not None and self.waited_until > now
        return WAITED_HEARTBEAT_SECONDS if is_waited_for or self.is_followed(now) else HEARTBEAT_SECONDS


class OrderRow(StoredShape):
    """One order. The row is small, because one query reads a run of a thousand orders."""

    run_id: RunId
    order_num: OrderNum
    order_name: Name
    status: OrderState
    target: ExecutionTarget
    timeout: int
    stop_grace: int | None = Field(None, description="The order's own `stop_grace`, in seconds.")
    compute_type: str | None = Field(
        None, description="CodeBuild compute type of the order's `size`; None is the project's own."
    )
    dependencies: tuple[OrderNum, ...] = ()
    must_succeed: bool = True
    when: tuple[OrderNum, ...] = Field(
        (), description="Dependencies that must be `changed`; else the order is skipped."
    )
    attempts: int = Field(1, ge=1, description="Most attempts; 1 if the order is not repeated.")
    retry_on: tuple[int, ...] = Field((), description="Exit codes of a failed attempt after which there is another.")
    attempt: int = Field(1, ge=1, description="Number of the present attempt, or of the last one.")
    code_sha256: str | None = Field(None, description="Digest of the code archive, None if the order has no code.")
    package_sha256: Sha256 | None = Field(
        None,
        description="Digest of `exec.zip`; None in the row of a version before, or of a run that was not prepared.",
    )
    assume_role: str | None = Field(
        None, description="Role that the broker assumes when the order starts; None in the row of a version before."
    )
    git_credentials: tuple[str, ...] = Field(
        (), description="Repositories (`host/path`) that the broker makes tokens for; connected when it was prepared."
    )
    takes: tuple[OrderNum, ...] = Field(
        (), description="Orders of whose outputs or files this order takes some; the broker hands over no others."
    )
    outputs: Sealed | None = Field(None, description="The order's sealed outputs, None if it has none.")
    files: Sealed | None = Field(None, description="The files that the order saved, sealed; None if it saved none.")
    kept: Sealed | None = Field(None, description="The files that a failed order left, sealed; None if there are none.")
    tools: tuple[StoredTool, ...] = Field((), description="Tools that are fetched for the order.")
    project: OrderProject | None = Field(None, description="The project that the order plans or applies.")
    generation: int | None = Field(
        None, ge=0, description="The project's generation when the plan was first dispatched."
    )
    planned: PlannedFile | None = Field(None, description="The plan that the order saved.")
    group: str | None = Field(None, description="Key of the concurrency group that the order names.")
    newest_in_group: bool = Field(False, description="True for `queue: newest` of that group.")
    shares_group: bool = Field(False, description="True if the order may hold that group beside others that share it.")
    dispatched_at: Moment | None = None
    tickets: tuple[str, ...] = Field(
        (), description="Dispatches and the SHA-256 of each one's first ticket, as `dispatch:sha256`, the newest last."
    )
    handed_over: int = Field(
        0, ge=0, description="How often the order was queued again because its worker ended before it began the order."
    )
    started_at: Moment | None = None
    ended_at: Moment | None = None
    order_deadline: Moment | None = Field(None, description="When the commands must have ended; set at dispatch.")
    build_id: str | None = Field(None, description="CodeBuild build of a running order.")
    purpose: Purpose | None = Field(
        None, description="Whether the order plans or applies, as far as its name and commands show it."
    )
    stop_reason: str | None = Field(None, description="Set if this order's commands were asked to stop.")
    stop_soon: bool = Field(False, description="True if that was asked for again: the rest of the grace is shortened.")
    exit_code: int | None = None
    changed: bool = Field(False, description="True if it succeeded with an exit code other than 0 of a command.")
    not_needed: bool = Field(
        False, description="True if it was skipped because an order that its `when` names was not changed."
    )
    changes: Changes | None = Field(None, description="The changes that Terraform planned or applied.")
    changes_unknown: bool = Field(False, description="True if a plan or an apply ran whose changes could not be read.")
    reason: str | None = Field(None, max_length=1024)
    approval: StoredApproval | None = Field(
        None, description="Set if the order waits for an approval and runs nothing."
    )
    approval_answer: ApprovalAnswer | None = Field(
        None, description="The answer that ended the wait, None if there was none."
    )
    waiting_for: str | None = Field(
        None,
        max_length=MAX_WAITING_CHARS,
        description="What a queued order waits for that is no dependency: an approval, a group, a place.",
    )
    expires_at: Moment

    @property
    def awaits_answer(self) -> bool:
        """Return whether the order waits for an approval now."""
        return self.approval is not None and self.status is OrderState.QUEUED and self.waiting_for is not None

    @property
    def dispatch(self) -> str | None:
        """Return the present dispatch, None if the order was not dispatched."""
        return str(int(self.dispatched_at.timestamp() * 1000)) if self.dispatched_at is not None else None

    @property
    def plan_sha256(self) -> str | None:
        """Return the digest of the plan that the order saved or applies, None if there is none."""
        saved = self.project.saved if self.project is not None else None
        found = saved.planned if saved is not None else self.planned
        return found.sha256 if found is not None else None

    @property
    def attempt_key(self) -> tuple[str, str, int]:
        """Return what the keys of the present attempt's objects are made of: run, number and attempt."""
        return self.run_id, self.order_num, self.attempt

    def first_ticket(self, dispatch: str) -> str | None:
        """Return the SHA-256 of a dispatch's first ticket; None if the row does not know the dispatch."""
        known = dict(entry.split(":", 1) for entry in self.tickets if ":" in entry)
        return known.get(dispatch)

    @property
    def grace(self) -> int:
        """Return the most seconds that the commands have to end by themselves once they are asked to stop."""
        return self.stop_grace or DEFAULT_STOP_GRACE_SECONDS

    def stop_wish(self, run: RunRow) -> str | None:
        """Return why a request asks this order's commands to stop, None if none does.

        A request that names an order stops it whatever it does. One for the whole run leaves applies, and the end of a
        superseded run stops plans alone: whatever else runs may change infrastructure.
        """
        if self.stop_reason is not None:
            return f"the order was stopped: {self.stop_reason}"[:1024]
        if run.stop_reason is not None and self.purpose is not Purpose.APPLY:
            return f"the run was stopped: {run.stop_reason}"[:1024]
        if (run.cancel_reason or "").startswith(SUPERSEDED) and self.purpose is Purpose.PLAN:
            return f"the run is {run.cancel_reason}"[:1024]
        return None

    def stop_is_urgent(self, run: RunRow) -> bool:
        """Return whether the request was made again."""
        return self.stop_soon or (run.stop_soon and self.purpose is not Purpose.APPLY)

    def last_report(self, run: RunRow) -> datetime:
        """Return the time until which a worker of this order may report."""
        return (self.order_deadline or run.deadline) + timedelta(seconds=self.grace + STOP_GRACE_SECONDS)
