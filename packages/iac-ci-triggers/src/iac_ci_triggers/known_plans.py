"""The rows of the ledger of plans that a decision needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iac_ci_common.models.saved_plan import PlanRecord, ProjectState


@dataclass(frozen=True, slots=True)
class KnownPlans:
    """Rows of the ledger of plans, by their keys."""

    records: Mapping[str, PlanRecord] = field(default_factory=dict)
    states: Mapping[str, ProjectState] = field(default_factory=dict)
