"""Places the orders of a run in columns, dependencies to the left. Pure, and linear in orders and edges."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iac_ci_common.models.rows import OrderRow

ROWS: Final = 24
"""Most orders in one column: more on one level continue in the next column."""

MAX_EDGES: Final = 4000
"""Most dependencies that are drawn."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Column and row of each order by its number, the edges (dependency, order), and how many are left out."""

    places: Mapping[str, tuple[int, int]]
    edges: tuple[tuple[str, str], ...]
    left_out: int = 0

    def as_state(self) -> dict[str, object]:
        """Return what the page draws: orders are named by their places in the sequence of their numbers."""
        index = {num: at for at, num in enumerate(sorted(self.places))}
        return {
            "nodes": [self.places[num] for num in sorted(self.places)],
            "edges": [(index[one], index[num]) for one, num in self.edges],
            "left_out": self.left_out,
        }


def layout(orders: Sequence[OrderRow]) -> Layout:
    """Return the layout of a run's graph."""
    known = {order.order_num: order.dependencies for order in orders}
    after = {num: [one for one in dependencies if one in known] for num, dependencies in known.items()}
    levels = _levels(after)
    by_level: dict[int, list[str]] = defaultdict(list)
    for num in after:
        by_level[levels[num]].append(num)
    places: dict[str, tuple[int, int]] = {}
    column = 0
    for level in sorted(by_level):
        # Near the rows of their dependencies, so that few edges cross.
        means = {num: _mean([places[one][1] for one in after[num]]) for num in by_level[level]}
        wanted = sorted(by_level[level], key=lambda num: (means[num], num))
        for index, num in enumerate(wanted):
            places[num] = (column + index // ROWS, index % ROWS)
        column += (len(wanted) - 1) // ROWS + 1
    edges = [(one, num) for num, dependencies in after.items() for one in dependencies]
    return Layout(places, tuple(edges[:MAX_EDGES]), max(0, len(edges) - MAX_EDGES))


def _levels(after: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return the length of the longest chain of dependencies before each order, 0 for orders of a cycle."""
    waiting = {num: len(dependencies) for num, dependencies in after.items()}
    followers: dict[str, list[str]] = defaultdict(list)
    for num, dependencies in after.items():
        for one in dependencies:
            followers[one].append(num)
    levels = dict.fromkeys(after, 0)
    ready = [num for num, count in waiting.items() if count == 0]
    for num in ready:
        for follower in followers[num]:
            levels[follower] = max(levels[follower], levels[num] + 1)
            waiting[follower] -= 1
            if waiting[follower] == 0:
                ready.append(follower)
    return levels


def _mean(rows: Sequence[int]) -> float:
    return sum(rows) / len(rows) if rows else 0.0
