"""The dependency graph of a run: cycles and readiness, without recursion, in time linear in orders and edges."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from iac_ci_common.overrides import FAILURES, overridable
from iac_ci_common.states import TERMINAL, OrderState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from iac_ci_common.models.rows import OrderRow


class Readiness(StrEnum):
    """Whether the dependencies of a queued order let it start."""

    READY = "ready"
    WAITING = "waiting"
    BLOCKED = "blocked"
    NOT_NEEDED = "not_needed"


NEVER_STARTS: Final = frozenset({Readiness.BLOCKED, Readiness.NOT_NEEDED})
"""What a queued order with such dependencies is: it can only be skipped."""


def find_cycle(edges: Mapping[str, Sequence[str]]) -> list[str] | None:
    """Return a cycle in ``node → its dependencies`` with its first node repeated at the end; None if there is none.

    Dependencies that are not nodes are ignored: unknown dependencies are reported as another problem.
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
    """Return the orders sorted so that each comes after its dependencies, then by order number.

    Acceptance refuses cycles, so a cycle here means damaged data: its orders come last, by order number.
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
    """Return whether a queued order may start, must wait, or can never start, with the reason if it never can.

    ``must_succeed`` of the dependency decides: if it is false, the dependents start although the dependency failed or
    timed out. So do those of an approval that overrides it, once that approval has succeeded.
    A dependency that is not in the run blocks, so that no order waits for ever. An order is not needed if
    one that its ``when`` names succeeded and is not changed, or if it depends on an order that was not needed; that it
    can never start for another reason counts more.
    """
    waiting = False
    not_needed: str | None = None
    for num in (*order.dependencies, *order.when):
        dependency = by_num.get(num)
        if dependency is None:
            return Readiness.BLOCKED, f"its dependency {num} is not part of the run"
        if dependency.status not in TERMINAL:
            waiting = True
        elif dependency.status is OrderState.SUCCEEDED:
            if num in order.when and not dependency.changed:
                not_needed = not_needed or f"{dependency.order_name} is not changed, which `when` requires"
        elif dependency.not_needed:
            not_needed = not_needed or f"{dependency.order_name} was not needed"
        elif dependency.status not in FAILURES or (dependency.must_succeed and num not in overridable(order, by_num)):
            return Readiness.BLOCKED, f"{dependency.order_name} {_WORDS[dependency.status]}"
        elif num in order.when:
            words = _WORDS[dependency.status]
            return Readiness.BLOCKED, f"{dependency.order_name} {words} and is not changed, which `when` requires"
    if not_needed is not None:
        return Readiness.NOT_NEEDED, not_needed
    return (Readiness.WAITING if waiting else Readiness.READY), None


_WORDS: Final = {
    OrderState.FAILED: "failed",
    OrderState.TIMED_OUT: "timed out",
    OrderState.CANCELLED: "was cancelled",
    OrderState.SKIPPED: "was skipped",
}
