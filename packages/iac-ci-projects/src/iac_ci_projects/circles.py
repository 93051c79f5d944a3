"""Removes circles from an order that was read from files: pure, in time linear in nodes and edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def without_circles(
    read: Mapping[str, Iterable[str]], by_hand: Mapping[str, Iterable[str]]
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return each node's predecessors, and those that were left out because they lead back to the node.

    Predecessors that were read from files are left out, never those that people wrote; both mappings have all nodes.
    Two projects may read each other's state, which no order can respect.
    """
    both = {node: list(dict.fromkeys([*by_hand[node], *read[node]])) for node in read}
    group_of = _groups(both)
    kept: dict[str, list[str]] = {}
    left_out: dict[str, list[str]] = {}
    for node, others in both.items():
        written = set(by_hand[node])
        circular = [other for other in others if other not in written and group_of[other] == group_of[node]]
        kept[node] = [other for other in others if other not in set(circular)]
        if circular:
            left_out[node] = circular
    return kept, left_out


def _groups(edges: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Return the number of each node's strongly connected component (Tarjan's algorithm, without recursion)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    group_of: dict[str, int] = {}
    stack: list[str] = []
    for start in edges:
        if start in number:
            continue
        path: list[tuple[str, Iterator[str]]] = []
        _enter(start, edges, number, low, stack, path)
        while path:
            node, successors = path[-1]
            successor = next(successors, None)
            if successor is None:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == number[node]:
                    _leave(node, stack, group_of)
            elif successor not in number:
                _enter(successor, edges, number, low, stack, path)
            elif successor not in group_of:
                low[node] = min(low[node], number[successor])
    return group_of


def _enter(
    node: str,
    edges: Mapping[str, Iterable[str]],
    number: dict[str, int],
    low: dict[str, int],
    stack: list[str],
    path: list[tuple[str, Iterator[str]]],
) -> None:
    number[node] = low[node] = len(number)
    stack.append(node)
    path.append((node, iter(edges[node])))


def _leave(node: str, stack: list[str], group_of: dict[str, int]) -> None:
    group = len(group_of)
    while True:
        member = stack.pop()
        group_of[member] = group
        if member == node:
            return
