"""What the orchestrator hands to a worker."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from iac_ci_common.models.base import Moment, OrderNum, RunId, StoredShape, TraceId


class WorkUrls(StoredShape):
    """Presigned URLs, minted at dispatch; each is a capability for one object and never reaches the commands."""

    package: str = Field(repr=False)
    code: str | None = Field(None, repr=False)
    claim: str = Field(repr=False)
    claim_check: str = Field(
        repr=False, description="Reads the claim back, for a worker that lost the answer to its own."
    )
    log: str = Field(repr=False)
    result: str = Field(repr=False)


WORK_VARIABLE: Final = "IAC_CI_WORK"
"""Environment variable in which a build finds its work: base64 of the JSON."""


class Work(StoredShape):
    """One order for one worker: Lambda's event, or the base64 of its JSON in CodeBuild's ``IAC_CI_WORK``."""

    run_id: RunId
    order_num: OrderNum
    trace_id: TraceId
    dispatch: str = Field(description="Which handing out of the order this is; a worker's claim repeats it.")
    timeout: int = Field(gt=0, description="Seconds the commands may take, already cut to the run's deadline.")
    not_after: Moment = Field(description="A worker that comes later than this must not start the commands.")
    urls: WorkUrls
