from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from iac_ci_common.graph import Readiness, find_cycle, in_order, readiness
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import order_row

GRAPHS = st.dictionaries(st.integers(0, 12), st.lists(st.integers(0, 12), max_size=4), max_size=13).map(
    lambda graph: {str(node): [str(other) for other in others] for node, others in graph.items()}
)


@given(GRAPHS)
def test_a_cycle_that_is_found_is_one_and_none_is_missed(graph):
    cycle = find_cycle(graph)
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert all(after in graph[before] for before, after in itertools.pairwise(cycle))
        return
    left = {node: {other for other in others if other in graph} for node, others in graph.items()}
    while free := [node for node, others in left.items() if not others & left.keys()]:
        for node in free:
            del left[node]
    assert not left


def test_a_chain_of_a_thousand_needs_no_recursion():
    chain = {str(number): [str(number + 1)] for number in range(5000)}
    assert find_cycle(chain) is None
    assert len(find_cycle(chain | {"5000": ["0"]})) == 5002


def test_orders_come_after_their_dependencies():
    rows = [order_row(1, after=[3]), order_row(2), order_row(3, after=[2])]
    assert [row.order_num for row in in_order(rows)] == ["0002", "0003", "0001"]


def test_damaged_rows_in_a_circle_are_not_lost():
    assert len(in_order([order_row(1, after=[2]), order_row(2, after=[1])])) == 2


def verdict(*dependencies):
    rows = {row.order_num: row for row in dependencies}
    return readiness(order_row(9, after=[int(num) for num in rows]), rows)[0]


def test_what_the_dependencies_mean():
    for state, must_succeed, expected in [
        (OrderState.SUCCEEDED, True, Readiness.READY),
        (OrderState.RUNNING, True, Readiness.WAITING),
        (OrderState.FAILED, True, Readiness.BLOCKED),
        (OrderState.FAILED, False, Readiness.READY),
        (OrderState.TIMED_OUT, True, Readiness.BLOCKED),
        (OrderState.TIMED_OUT, False, Readiness.READY),
        (OrderState.CANCELLED, False, Readiness.BLOCKED),
        (OrderState.SKIPPED, False, Readiness.BLOCKED),
    ]:
        assert verdict(order_row(1, status=state, must_succeed=must_succeed)) is expected, (state, must_succeed)


def test_must_succeed_is_the_dependencys_own():
    failed = order_row(1, status=OrderState.FAILED, must_succeed=True)
    assert readiness(order_row(2, after=[1], must_succeed=False), {"0001": failed})[0] is Readiness.BLOCKED


def test_an_unknown_dependency_waits_for_nothing():
    assert readiness(order_row(2, after=[1]), {})[0] is Readiness.BLOCKED
