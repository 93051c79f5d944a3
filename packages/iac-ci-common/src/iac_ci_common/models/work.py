"""The message from the orchestrator to a worker."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from iac_ci_common.models.base import Moment, OrderNum, RunId, StoredShape, TraceId


class WorkUrls(StoredShape):
    """Presigned URLs, made at dispatch. Each gives access to one object; the commands never get them."""

    package: str = Field(repr=False)
    code: str | None = Field(None, repr=False)
    claim: str = Field(repr=False)
    claim_check: str = Field(
        repr=False, description="Reads the claim, for a worker that did not get the answer to its own write."
    )
    log: str = Field(repr=False)
    result: str = Field(repr=False)


WORK_VARIABLE: Final = "IAC_CI_WORK"
"""Environment variable of a build with its work: base64 of the JSON."""


class Work(StoredShape):
    """One order for one worker: Lambda's event, or the base64 of its JSON in CodeBuild's ``IAC_CI_WORK``."""

    run_id: RunId
    order_num: OrderNum
    trace_id: TraceId
    dispatch: str = Field(description="Identifier of this dispatch of the order; a worker's claim repeats it.")
    timeout: int = Field(gt=0, description="Seconds that the commands may take, limited by the run's deadline.")
    not_after: Moment = Field(description="Time after which a worker must not start the commands.")
    urls: WorkUrls
