"""The ledger of plans in the DynamoDB table locks: one row per plan and per project, with conditional writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iac_ci_common.aws.versioned_rows import VersionedRows
from iac_ci_common.models.saved_plan import PlanRecord, ProjectState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from iac_ci_common.ports import Clock


class DynamoPlans:
    """The rows ``plan:…`` and ``project:…``."""

    def __init__(self, client: Any, table: str, clock: Clock, wait: Callable[[float], None]) -> None:
        """Use a DynamoDB client and the table's name; ``clock`` decides which rows have expired."""
        self._rows = VersionedRows(client, table, clock, wait, "the ledger of plans")

    def records(self, keys: Collection[str]) -> dict[str, PlanRecord]:
        """Return the rows of plans, by their keys."""
        return self._rows.read(keys, PlanRecord)

    def states(self, keys: Collection[str]) -> dict[str, ProjectState]:
        """Return the rows of projects, by their keys."""
        return self._rows.read(keys, ProjectState)

    def write_record(self, record: PlanRecord) -> PlanRecord:
        """Write the next version of a plan's row."""
        return self._rows.write(record)

    def write_state(self, state: ProjectState) -> ProjectState:
        """Write the next version of a project's row."""
        return self._rows.write(state)
