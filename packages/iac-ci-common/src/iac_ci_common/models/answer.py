"""What ``POST /webhook`` answers, and what its asynchronous second leg is called with."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, field_validator

from iac_ci_common.models.base import Moment, RunId, StoredShape, TraceId
from iac_ci_common.models.job import Job, Order


class Accepted(StoredShape):
    """202: the job is stored, watched and on its way."""

    run_id: RunId
    trace_id: TraceId
    flow_id: str
    done_endpt: str


class AcceptedOrder(Order):
    """An order that was checked at the endpoint, with whatever fields a newer version accepted."""

    model_config = ConfigDict(frozen=True, extra="allow")


class AcceptedJob(Job):
    """A job that was checked at the endpoint, with whatever fields a newer version accepted."""

    model_config = ConfigDict(frozen=True, extra="allow")

    orders: list[AcceptedOrder] = Field(min_length=1)  # type: ignore[assignment] # frozen: none is ever put in


class StoredJob(StoredShape):
    """``job.json``: the accepted job with everything that was decided at the door."""

    run_id: RunId
    trace_id: TraceId
    flow_id: str
    accepted_at: Moment
    deadline: Moment
    source: str
    job: AcceptedJob
    stack_level: int = Field(1, ge=1, description="Level of the version that accepted the job.")
    ledger: str | None = Field(None, description="Key of the ledger in which the run stands, if an event started it.")

    @field_validator("job", mode="before")
    @classmethod
    def _as_accepted(cls, job: Any) -> Any:
        return job.model_dump() if isinstance(job, Job) else job


class PreparationTask(StoredShape):
    """Event of the init function's second leg."""

    prepare: RunId


class EventTask(StoredShape):
    """Event of the init function's leg that works on what a code host told."""

    trigger: RunId
