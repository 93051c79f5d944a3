"""Concurrency groups in the DynamoDB table locks: one row per group, with conditional writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iac_ci_common.aws.versioned_rows import VersionedRows
from iac_ci_common.models.group import Group

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from iac_ci_common.ports import Clock


class DynamoGroups:
    """The rows ``group:…``."""

    def __init__(self, client: Any, table: str, clock: Clock, wait: Callable[[float], None]) -> None:
        """Use a DynamoDB client and the table's name; ``clock`` decides which rows have expired."""
        self._rows = VersionedRows(client, table, clock, wait, "a concurrency group")

    def read(self, keys: Collection[str]) -> dict[str, Group]:
        """Return the rows of groups, by their keys."""
        return self._rows.read(keys, Group)

    def write(self, group: Group) -> Group:
        """Write the next version of a group's row."""
        return self._rows.write(group)
