"""What is known of the concurrency groups that runs of a pull request hold or wait for: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iac_ci_common.groups import group_keys
from iac_ci_common.states import RUN_TERMINAL, TERMINAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_common.models.group import Group
    from iac_ci_common.models.rows import OrderRow, RunRow


@dataclass(frozen=True, slots=True)
class KnownGroup:
    """A group with the name by which people know it."""

    name: str
    group: Group


def group_names(run: RunRow | None, orders: Sequence[OrderRow]) -> dict[str, str]:
    """Return the names of the groups of a run's orders that have not ended, by the groups' keys."""
    if run is None or run.status in RUN_TERMINAL:
        return {}
    names = {run.group: run.group.rpartition("#")[2]} if run.group is not None else {}
    for order in orders:
        for key in group_keys(order) if order.status not in TERMINAL else ():
            is_projects = order.project is not None and key != order.group
            names[key] = order.project.name if is_projects and order.project is not None else key.rpartition("#")[2]
    return names
