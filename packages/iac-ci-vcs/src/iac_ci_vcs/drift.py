"""What a run found of a project's drift, and what became of the issue about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.errors import IacCiError
    from iac_ci_common.models.plan_text import PlanText
    from iac_ci_common.models.rows import OrderRow, RunRow


@dataclass(frozen=True, slots=True)
class Drift:
    """What a run found of one project; ``plan`` is the plan's text, if there is one.

    ``known_issue`` is the number of the issue that the engine has created about the project.
    """

    run: RunRow
    order: OrderRow
    key: str
    name: str
    at: datetime
    plan: PlanText | None = None
    known_issue: int | None = None

    @property
    def is_found(self) -> bool:
        """Return whether an apply would change something."""
        changes = self.order.changes
        return changes is not None and not changes.is_nothing


@dataclass(frozen=True, slots=True)
class ReportedDrift:
    """The issue of a project: its number, None with a note for the reason. ``error`` is what the host refused."""

    issue: int | None = None
    note: str | None = None
    error: IacCiError | None = None


__all__ = ["Drift", "ReportedDrift"]
