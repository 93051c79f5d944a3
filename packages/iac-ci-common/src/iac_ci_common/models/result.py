"""The claim and the result that a worker or, in its place, the watchdog writes once."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, field_validator

from iac_ci_common import limits
from iac_ci_common.models.approval import ApprovalAnswer
from iac_ci_common.models.base import Moment, OrderNum, RunId, StoredShape
from iac_ci_common.models.changes import Changes
from iac_ci_common.models.plan_text import PlanText
from iac_ci_common.models.saved_plan import PlannedFile
from iac_ci_common.models.sealed import Sealed
from iac_ci_common.states import REPORTABLE, OrderState


class Reporter(StrEnum):
    """Who wrote a claim or a result: a function, or with the init function a person or a signed request."""

    WORKER = "worker"
    WATCHDOG = "watchdog"
    ORCHESTRATOR = "orchestrator"
    APPROVER = "approver"


_BUILD: Final = re.compile(r"(.+)-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")

AnyReporter = Annotated[Reporter | str, Field(union_mode="left_to_right")]
"""A reporter; a text if a newer version wrote one that this version does not know."""


class Claim(StoredShape):
    """The right to run an order's commands: the worker that creates this object may run them, no other worker may."""

    run_id: RunId
    order_num: OrderNum
    claimed_by: AnyReporter
    claimed_at: Moment
    execution: str | None = Field(
        None,
        description="The worker's dispatch, its Lambda request or build, and a random part, separated by colons.",
    )

    def is_of_another_build(self, build_id: str) -> bool:
        """Return whether the worker of another build made the claim; False if the claim names no build."""
        return self.claimed_by is Reporter.WORKER and self._call not in {"", build_id.replace(":", "-")}

    @property
    def build_id(self) -> str | None:
        """The build that made the claim, None if it names none.

        A build's id is ``<project>:<uuid>`` (AWS CodeBuild API Reference, "Build"); a worker writes the colon as a
        hyphen.
        """
        named = _BUILD.fullmatch(self._call)
        return f"{named[1]}:{named[2]}" if named is not None else None

    @property
    def _call(self) -> str:
        """The Lambda request or the build of the worker, empty if the claim names none."""
        _, _, rest = (self.execution or "").partition(":")
        return rest.rpartition(":")[0]


class Result(StoredShape):
    """The end of an order. The first result that is written counts."""

    run_id: RunId
    order_num: OrderNum
    status: OrderState
    reported_by: AnyReporter
    exit_code: int | None = Field(None, ge=-(2**31), lt=2**31)
    changed: bool = Field(False, description="True if it succeeded with an exit code other than 0 of a command.")
    failed_command: str | None = Field(
        None, max_length=512, description="The command that failed, redacted and shortened."
    )
    reason: str | None = Field(None, max_length=1024)
    started_at: Moment | None = None
    ended_at: Moment
    duration_ms: int = Field(0, ge=0)
    changes: Changes | None = Field(None, description="The changes that Terraform planned or applied.")
    changes_unknown: bool = Field(False, description="True if a plan or an apply ran whose changes could not be read.")
    plan: PlanText | None = Field(None, description="The text of the plans, masked.")
    log_tail: str = Field("", description="The last lines of the log.")
    log_truncated: bool = Field(False, description="True if log_tail is not the whole log.")
    log_bytes: int = Field(0, ge=0, description="Length of the whole log in bytes.")
    log_stored: bool = Field(False, description="True if the whole log is an object of its own.")
    log_times: tuple[tuple[int, int], ...] = Field(
        (),
        max_length=limits.MAX_LOG_TIMES + 1,
        description="Bytes of the log from 0, each with the time from which it was written, in ms; 0 is not known.",
    )
    live_parts: int = Field(
        0, ge=0, le=limits.MAX_LIVE_PARTS, description="How many parts of the log were stored while commands ran."
    )
    outputs: Sealed | None = Field(None, description="The order's sealed outputs, None if it has none.")
    planned: PlannedFile | None = Field(None, description="The plan that the order saved, None if it saved none.")
    files: Sealed | None = Field(None, description="The files that the order saved, sealed; None if it saved none.")
    kept: Sealed | None = Field(None, description="The files that a failed order left, sealed; None if there are none.")
    answer: ApprovalAnswer | None = Field(None, description="The answer to an order that waited for an approval.")

    @property
    def has_whole_log(self) -> bool:
        """Whether ``log_tail`` is the whole log, byte for byte, and no object of its own has it."""
        return bool(self.log_tail) and not self.log_stored and len(self.log_tail.encode()) == self.log_bytes

    @field_validator("status")
    @classmethod
    def _terminal(cls, status: OrderState) -> OrderState:
        if status not in REPORTABLE:
            raise ValueError(f"{status} is not a status that a result can have")
        return status

    @field_validator("log_tail")
    @classmethod
    def _short(cls, tail: str) -> str:
        if len(tail.encode("utf-8", "replace")) > limits.LOG_TAIL_BYTES:
            raise ValueError(f"the log tail has more than {limits.LOG_TAIL_BYTES} bytes")
        return tail
