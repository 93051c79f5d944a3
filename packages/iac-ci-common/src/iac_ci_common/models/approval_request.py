"""The signed request that answers an order that waits for an approval, and its answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from iac_ci_common.models.base import Name, RunId, StoredShape
from iac_ci_common.models.job import CommitHash, Payload


class AnsweredOrder(Payload):
    """Which order is answered, and how."""

    run_id: RunId = Field(description="The run.")
    order: Name = Field(description="Name or number of the order.")
    answer: Literal["approve", "reject"] = Field(description="`approve`, or `reject`, which ends the order `failed`.")
    commit_hash: CommitHash | None = Field(
        None, description="Full commit of the run, which it must have; none if its code is from no repository."
    )


class ApprovalRequest(Payload):
    """Body of `POST /webhook` that answers an order whose `approval` has `api: true`."""

    approval: AnsweredOrder = Field(description="The order and the answer.")


class Answered(StoredShape):
    """Answer 200: the order has this answer, which counts."""

    run_id: RunId
    order_num: str
    order_name: str
    status: str
    reason: str
