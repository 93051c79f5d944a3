"""The answer of ``POST /webhook``, the stored job, and the tasks of the init function's asynchronous invocations."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, field_validator

from iac_ci_common.models.base import Moment, RunId, StoredShape, TraceId
from iac_ci_common.models.commands import CheckedCommand, Command, Retry, either
from iac_ci_common.models.job import Approval, Concurrency, Job, Order, PlanFile, Restore
from iac_ci_common.models.rows import JobScope
from iac_ci_common.models.saved_plan import OrderProject, Replan


class Accepted(StoredShape):
    """Answer 202: the job is stored and its watchdog is running."""

    run_id: RunId
    trace_id: TraceId
    flow_id: str
    done_endpt: str


class AcceptedRestore(Restore):
    """An entry of ``restore`` that was checked at acceptance, with fields that a newer version may have added."""

    model_config = ConfigDict(frozen=True, extra="allow")


class AcceptedCommand(CheckedCommand):
    """A command with exit codes that was checked at acceptance, with fields that a newer version may have added."""

    model_config = ConfigDict(frozen=True, extra="allow")


class AcceptedRetry(Retry):
    """A ``retry`` that was checked at acceptance, with fields that a newer version may have added."""

    model_config = ConfigDict(frozen=True, extra="allow")


class AcceptedPlanFile(PlanFile):
    """A ``plan`` that was checked at acceptance, with fields that a newer version may have added."""

    model_config = ConfigDict(frozen=True, extra="allow")


class AcceptedApproval(Approval):
    """An ``approval`` that was checked at acceptance, with fields that a newer version may have added."""

    model_config = ConfigDict(frozen=True, extra="allow")


class AcceptedConcurrency(Concurrency):
    """A ``concurrency`` that was checked at acceptance, with fields that a newer version may have added."""

    model_config = ConfigDict(frozen=True, extra="allow")


class AcceptedOrder(Order):
    """An order that was checked at acceptance, with fields that a newer version may have added."""

    model_config = ConfigDict(frozen=True, extra="allow")

    # Nothing is assigned to a frozen model, so the types may be narrower.
    cmds: list[Annotated[Command | AcceptedCommand, either(Command, AcceptedCommand)]] = Field(  # type: ignore[assignment]
        default_factory=list
    )
    restore: list[AcceptedRestore] = Field(default_factory=list)  # type: ignore[assignment]
    retry: AcceptedRetry | None = None
    plan: AcceptedPlanFile | None = None
    approval: AcceptedApproval | None = None
    concurrency: AcceptedConcurrency | None = None


class AcceptedJob(Job):
    """A job that was checked at acceptance, with fields that a newer version may have added."""

    model_config = ConfigDict(frozen=True, extra="allow")

    concurrency: AcceptedConcurrency | None = None
    orders: list[AcceptedOrder] = Field(min_length=1)  # type: ignore[assignment] # frozen: nothing is assigned


class StoredJob(StoredShape):
    """``job.json``: the accepted job with its identifiers, deadline and source."""

    run_id: RunId
    trace_id: TraceId
    flow_id: str
    accepted_at: Moment
    deadline: Moment
    source: str
    job: AcceptedJob
    stack_level: int = Field(1, ge=1, description="Level of the version that accepted the job.")
    job_name: str | None = Field(None, description="Name of the configured job; None for a signed job.")
    actor: str | None = Field(None, description="Account on the code host that started the job; None for a signed job.")
    branch: str | None = Field(None, description="Branch of the pull request or push; None for a signed job.")
    scope: JobScope | None = Field(None, description="What the run is of the job of a pull request.")
    not_run: tuple[str, ...] = Field((), description="Names of the orders of the job that the run does not run.")
    sizes: dict[str, str] = Field(
        default_factory=dict, description="CodeBuild compute types of the sizes that the orders name, as at acceptance."
    )
    projects: dict[str, OrderProject] = Field(
        default_factory=dict, description="Projects that orders plan or apply, by the orders' names."
    )
    link_generation: int | None = Field(
        None, ge=0, description="Generation of links to the run's page; None if reports have no link."
    )
    planned_for: Moment | None = Field(None, description="Minute of the schedule that started the run, if one did.")
    ledger: str | None = Field(None, description="Key of the ledger that lists the run, if an event started it.")
    rerun_of: RunId | None = Field(None, description="The run whose orders this one runs again.")

    @field_validator("job", mode="before")
    @classmethod
    def _as_accepted(cls, job: Any) -> Any:
        return job.model_dump() if isinstance(job, Job) else job


class PreparationTask(StoredShape):
    """Event that makes the init function prepare an accepted run."""

    prepare: RunId


class RerunTask(StoredShape):
    """Event that makes the init function run orders of a run again, and answer like the webhook endpoint.

    Only who may invoke the function can send it. ``as_run`` is the id of the new run, so that the task can be repeated;
    ``orders`` are names or numbers, all if there are none. ``by`` is who asks.
    """

    rerun: RunId
    as_run: RunId
    orders: tuple[str, ...] = ()
    by: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+=,.@-]{1,64}$")] = "operator"


class EventTask(StoredShape):
    """Event that makes the init function process a code host's stored event."""

    trigger: RunId


class ReplanTask(StoredShape):
    """Event that makes the init function plan again what an apply has made stale."""

    replan: Replan
