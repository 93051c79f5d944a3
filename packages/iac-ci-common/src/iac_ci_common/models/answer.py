"""What ``POST /webhook`` answers, and what its asynchronous second leg is called with."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.models.base import Moment, RunId, StoredShape, TraceId
from iac_ci_common.models.job import Job


class Accepted(StoredShape):
    """202: the job is stored, watched and on its way."""

    run_id: RunId
    trace_id: TraceId
    flow_id: str
    done_endpt: str


class StoredJob(StoredShape):
    """``job.json``: the accepted job with everything that was decided at the door."""

    run_id: RunId
    trace_id: TraceId
    flow_id: str
    accepted_at: Moment
    deadline: Moment
    source: str
    job: Job
    ledger: str | None = Field(None, description="Key of the ledger in which the run stands, if an event started it.")


class PreparationTask(StoredShape):
    """Event of the init function's second leg."""

    prepare: RunId


class EventTask(StoredShape):
    """Event of the init function's leg that works on what a code host told."""

    trigger: RunId
