"""The ledger of plans, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from iac_ci_common.errors import ConditionFailed
from iac_ci_common.models.saved_plan import PlanRecord, ProjectState

if TYPE_CHECKING:
    from collections.abc import Collection

    from iac_ci_common.ports import Clock

Row = TypeVar("Row", PlanRecord, ProjectState)


class MemoryPlans:
    """Dictionaries of frozen models."""

    def __init__(self, clock: Clock) -> None:
        """Start empty; ``clock`` decides which rows have expired."""
        self.plan_records: dict[str, PlanRecord] = {}
        self.project_states: dict[str, ProjectState] = {}
        self._clock = clock

    def records(self, keys: Collection[str]) -> dict[str, PlanRecord]:
        """Return the rows of plans, by their keys."""
        return self._present(self.plan_records, keys)

    def states(self, keys: Collection[str]) -> dict[str, ProjectState]:
        """Return the rows of projects, by their keys."""
        return self._present(self.project_states, keys)

    def write_record(self, record: PlanRecord) -> PlanRecord:
        """Write the next version of a plan's row."""
        return self._write(self.plan_records, record)

    def write_state(self, state: ProjectState) -> ProjectState:
        """Write the next version of a project's row."""
        return self._write(self.project_states, state)

    def _present(self, rows: dict[str, Row], keys: Collection[str]) -> dict[str, Row]:
        now = self._clock.now()
        return {key: rows[key] for key in keys if key in rows and rows[key].expires_at > now}

    def _write(self, rows: dict[str, Row], row: Row) -> Row:
        current = self._present(rows, [row.key]).get(row.key)
        if (current.version if current is not None else 0) != row.version:
            raise ConditionFailed("another process changed the ledger of plans", retry_is_safe=True)
        written = row.model_copy(update={"version": row.version + 1})
        rows[row.key] = written
        return written
