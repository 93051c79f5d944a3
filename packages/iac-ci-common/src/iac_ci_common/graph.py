"""The dependency graph of a run: cycles and readiness, without recursion, in time linear to orders and edges."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from iac_ci_common.states import TERMINAL, OrderState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from iac_ci_common.models.rows import OrderRow

_FORGIVEN: Final = frozenset({OrderState.FAILED, OrderState.TIMED_OUT})


class Readiness(StrEnum):
    """What the dependencies of a queued order mean for it."""

    READY = "ready"
    WAITING = "waiting"
    BLOCKED = "blocked"


def find_cycle(edges: Mapping[str, Sequence[str]]) -> list[str] | None:
    """Find one cycle in ``node → what it depends on``; the first node is repeated at its end. None without one.

    Names that are not nodes themselves are passed over: an unknown dependency is another problem.
    """
    finished: set[str] = set()
    for start in edges:
        if start in finished:
            continue
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            node, leaving = stack.pop()
            if leaving:
                path.pop()
                on_path.discard(node)
                finished.add(node)
                continue
            if node in on_path:
                return [*path[path.index(node) :], node]
            if node in finished:
                continue
            path.append(node)
            on_path.add(node)
            stack.append((node, True))
            stack.extend((next_node, False) for next_node in reversed(edges[node]) if next_node in edges)
    return None


def in_order(orders: Iterable[OrderRow]) -> list[OrderRow]:
    """Sort orders so that each comes after its dependencies; ties by order number.

    The graph was checked at the door, so a cycle here is damaged data: its orders come last, in their own order.
    """
    rows = sorted(orders, key=lambda row: row.order_num)
    by_num = {row.order_num: row for row in rows}
    open_dependencies = {row.order_num: sum(num in by_num for num in set(row.dependencies)) for row in rows}
    dependents: dict[str, list[str]] = {row.order_num: [] for row in rows}
    for row in rows:
        for num in set(row.dependencies):
            if num in dependents:
                dependents[num].append(row.order_num)
    ready = [row.order_num for row in rows if open_dependencies[row.order_num] == 0]
    result: list[OrderRow] = []
    for num in ready:  # grows while it is walked
        result.append(by_num[num])
        for dependent in dependents[num]:
            open_dependencies[dependent] -= 1
            if open_dependencies[dependent] == 0:
                ready.append(dependent)
    placed = {row.order_num for row in result}
    return result + [row for row in rows if row.order_num not in placed]


def readiness(order: OrderRow, by_num: Mapping[str, OrderRow]) -> tuple[Readiness, str | None]:
    """Return whether a queued order may start, must wait, or never can; with the reason where it never can.

    ``must_succeed`` is the dependency's own: an order that need not succeed lets its dependents go on when it failed
    or timed out. A dependency that is not in the run blocks: nothing may wait for ever.
    """
    waiting = False
    for num in order.dependencies:
        dependency = by_num.get(num)
        if dependency is None:
            return Readiness.BLOCKED, f"its dependency {num} is not part of the run"
        if dependency.status not in TERMINAL:
            waiting = True
        elif dependency.status is OrderState.SUCCEEDED:
            continue
        elif dependency.must_succeed or dependency.status not in _FORGIVEN:
            return Readiness.BLOCKED, f"{dependency.order_name} {_WORDS[dependency.status]}"
    return (Readiness.WAITING if waiting else Readiness.READY), None


_WORDS: Final = {
    OrderState.FAILED: "failed",
    OrderState.TIMED_OUT: "timed out",
    OrderState.CANCELLED: "was cancelled",
    OrderState.SKIPPED: "was skipped",
}
