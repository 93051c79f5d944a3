"""The message from the orchestrator to a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import Field

from iac_ci_common.models.base import DispatchId, Moment, OrderNum, RunId, Sha256, StoredShape, TraceId

if TYPE_CHECKING:
    from collections.abc import Mapping


class PartUrls(StoredShape):
    """URLs for the next parts of the log of a running order, the first for the part number ``first``."""

    first: int = Field(ge=0)
    urls: tuple[str, ...] = Field(repr=False)


class WorkUrls(StoredShape):
    """Presigned URLs of one order. Each gives access to one object; the commands never get them."""

    package: str = Field(repr=False)
    code: str | None = Field(None, repr=False)
    tools: dict[str, str] = Field(default_factory=dict, repr=False, description="Releases by the SHA-256 of each.")
    claim: str = Field(repr=False)
    claim_check: str = Field(
        repr=False, description="Reads the claim, for a worker that did not get the answer to its own write."
    )
    log: str | None = Field(None, repr=False)
    result: str | None = Field(None, repr=False)
    outputs: str | None = Field(None, repr=False)
    files: str | None = Field(None, repr=False)
    kept: str | None = Field(None, repr=False)
    parts: PartUrls | None = Field(None, repr=False, description="URLs for parts of the log while commands run.")


WORK_VARIABLE: Final = "IAC_CI_WORK"
"""Environment variable of a build that a version before tickets started: base64 of the work's JSON."""


class Work(StoredShape):
    """One order for one worker: Lambda's event, or what a build learns by its first trade."""

    run_id: RunId
    order_num: OrderNum
    trace_id: TraceId
    dispatch: str = Field(description="Identifier of this dispatch of the order; a worker's claim repeats it.")
    attempt: int = Field(1, ge=1, description="Number of this attempt of the order.")
    timeout: int = Field(gt=0, description="Seconds that the commands may take, limited by the run's deadline.")
    stop_grace: int | None = Field(None, gt=0, description="The order's own `stop_grace`, in seconds.")
    not_after: Moment = Field(description="Time after which a worker must not start the commands.")
    urls: WorkUrls
    package_sha256: Sha256 | None = Field(
        None, description="Digest that the package must have; None in the work of a version before."
    )
    code_sha256: Sha256 | None = Field(
        None, description="Digest that the code must have; None without code, and in the work of a version before."
    )
    ticket: Sha256 | None = Field(
        None, repr=False, description="Ticket for the broker; None in the work of a version before tickets."
    )


_VARIABLES: Final = {
    "run_id": "IAC_CI_RUN",
    "order_num": "IAC_CI_ORDER",
    "dispatch": "IAC_CI_DISPATCH",
    "ticket": "IAC_CI_TICKET",
}

BUILD_VARIABLES: Final = tuple(_VARIABLES.values())
"""Environment variables of a build that name its order and its ticket."""


class BuildOrder(StoredShape):
    """The order of a build, in variables of less than 300 characters together; the build trades for the rest.

    CodeBuild refuses a variable of more than 4,096 characters and shows every variable in its console. The ticket that
    it shows is worth nothing after the first trade.
    """

    run_id: RunId
    order_num: OrderNum
    dispatch: DispatchId
    ticket: Sha256 = Field(repr=False)

    def variables(self) -> dict[str, str]:
        """Return the build's variables."""
        return {variable: getattr(self, name) for name, variable in _VARIABLES.items()}

    @classmethod
    def from_variables(cls, variables: Mapping[str, str]) -> BuildOrder:
        """Return the order of a build's variables; raise ``StoredUnreadable``, which repeats no value."""
        return cls.from_stored({name: variables.get(variable, "") for name, variable in _VARIABLES.items()})
