"""What becomes of a pull request that is merged when everything that it planned has been applied."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iac_ci_common.errors import IacCiError


class MergeStep(StrEnum):
    """What becomes of a pull request whose applies may have ended."""

    MERGE = "merge"
    """The engine merges it, or has merged it."""

    WAIT = "wait"
    """Something is missing that its statuses show, or nobody needs to merge it any more."""

    REFUSE = "refuse"
    """Only a person can merge it."""


@dataclass(frozen=True, slots=True)
class MergeVerdict:
    """The step and its reason, in plain words; a reason of ``REFUSE`` is written into the pull request."""

    step: MergeStep
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What became of a pull request, and why; ``comment_error`` is set if its comment could not be written."""

    verdict: MergeVerdict
    comment_error: IacCiError | None = None


__all__ = ["MergeReport", "MergeStep", "MergeVerdict"]
