"""What is known of reviewed plans: rows of the ledger of plans, and the runs that are about to apply some."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from iac_ci_common.models.saved_plan import PlanRecord, ProjectState


@dataclass(frozen=True, slots=True)
class Applier:
    """A command of this pull request that has started an apply which has not ended: its intent, and what it is."""

    intent: str
    name: str


@dataclass(frozen=True, slots=True)
class KnownPlans:
    """Rows of the ledger of plans, by their keys, and who applies plans of this pull request.

    ``appliers`` are by the SHA-256 of the plans; ``starting`` are, by the names of their jobs, those whose plans are
    not known yet, because another event is storing their jobs at this moment.
    """

    records: Mapping[str, PlanRecord] = field(default_factory=dict)
    states: Mapping[str, ProjectState] = field(default_factory=dict)
    appliers: Mapping[str, tuple[Applier, ...]] = field(default_factory=dict)
    starting: Mapping[str, tuple[Applier, ...]] = field(default_factory=dict)

    def other_applier(self, job: str, sha256: str, intent: str) -> Applier | None:
        """Return another command than ``intent`` that applies a plan, or may apply it; None if there is none."""
        known = (*self.appliers.get(sha256, ()), *self.starting.get(job, ()))
        return next((one for one in known if one.intent != intent), None)

    def with_appliers(self, plans: Collection[str], applier: Applier) -> KnownPlans:
        """Return the same with a command that applies these plans."""
        added = {sha256: (*self.appliers.get(sha256, ()), applier) for sha256 in plans}
        return replace(self, appliers={**self.appliers, **added})
