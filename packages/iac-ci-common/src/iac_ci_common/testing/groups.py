"""Concurrency groups, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.errors import ConditionFailed

if TYPE_CHECKING:
    from collections.abc import Collection

    from iac_ci_common.models.group import Group
    from iac_ci_common.ports import Clock


class MemoryGroups:
    """A dictionary of frozen models."""

    def __init__(self, clock: Clock) -> None:
        """Start empty; ``clock`` decides which rows have expired."""
        self.groups: dict[str, Group] = {}
        self._clock = clock

    def read(self, keys: Collection[str]) -> dict[str, Group]:
        """Return the rows of groups, by their keys."""
        now = self._clock.now()
        return {key: self.groups[key] for key in keys if key in self.groups and self.groups[key].expires_at > now}

    def write(self, group: Group) -> Group:
        """Write the next version of a group's row."""
        current = self.read([group.key]).get(group.key)
        if (current.version if current is not None else 0) != group.version:
            raise ConditionFailed("another process changed a concurrency group", retry_is_safe=True)
        self.groups[group.key] = group.model_copy(update={"version": group.version + 1})
        return self.groups[group.key]
