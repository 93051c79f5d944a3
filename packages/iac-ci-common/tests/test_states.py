from __future__ import annotations

from itertools import product

import pytest

from iac_ci_common.errors import IllegalTransition
from iac_ci_common.states import (
    ORDER_TRANSITIONS,
    RUN_TERMINAL,
    TERMINAL,
    OrderState,
    RunState,
    check_order_transition,
    check_run_transition,
)

LEGAL = {
    ("queued", "dispatching"), ("queued", "skipped"), ("queued", "cancelled"), ("dispatching", "running"),
    ("dispatching", "queued"), ("running", "queued"),
    *product(["dispatching", "running"], ["succeeded", "failed", "timed_out", "cancelled"]),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), list(product(OrderState, OrderState)))
def test_an_order_moves_as_the_table_says_and_no_other_way(before, after):
    if (before.value, after.value) in LEGAL:
        check_order_transition(before, after)
    else:
        with pytest.raises(IllegalTransition):
            check_order_transition(before, after)


def test_nothing_leaves_an_end():
    assert {state for state, transitions in ORDER_TRANSITIONS.items() if not transitions} == TERMINAL
    for before, after in product(RUN_TERMINAL, RunState):
        with pytest.raises(IllegalTransition):
            check_run_transition(before, after)
