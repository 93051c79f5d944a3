"""A process that released a run's lock last decides from the rows that it remembers; all others read them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from iac_ci_common.models.lock import Lock
from iac_ci_common.ports import RunRows
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_orchestrator.act import Orchestrator
from iac_ci_orchestrator.remembered_rows import MOST_ROWS, RememberedRows

sys.path.insert(0, str(Path(__file__).parent))
from engine import Engine

CHAIN = [{}, {"dependencies": ["order-0001"]}, {"dependencies": ["order-0002"]}]


def lock(**fields):
    return Lock(run_id=RUN_ID, expires_at=START, **fields)


def rows(count=1):
    return RunRows(run_row(order_count=count), tuple(order_row(num) for num in range(1, count + 1)))


@pytest.mark.parametrize(
    ("taken", "is_known"),
    [
        (lock(token=3, doorbell=8, answered=7), True),
        (lock(token=3, doorbell=9, answered=8), False),  # another invocation has released the lock since
        (lock(token=4, doorbell=9, answered=7), False),  # this one replaces an owner that died
    ],
)
def test_rows_are_known_while_nobody_else_has_held_the_lock(taken, is_known):
    remembered = RememberedRows()
    remembered.keep(lock(token=3, doorbell=7, answered=5), rows())
    assert remembered.take(taken) == (rows() if is_known else None)
    assert remembered.take(taken) is None


def test_the_oldest_rows_make_room():
    remembered = RememberedRows()
    half = MOST_ROWS // 2
    kept = [lock(doorbell=7).model_copy(update={"run_id": f"{RUN_ID[:-1]}{number}"}) for number in range(3)]
    for one in kept:
        remembered.keep(one, rows(half))
    known = [remembered.take(one.model_copy(update={"answered": 7})) is not None for one in kept]
    assert known == [False, True, True]


def test_a_chain_reads_its_rows_once():
    engine = Engine(CHAIN)
    engine.run_to_the_end()
    engine.assert_ended_well()
    assert engine.calls["runs.read"] == 1


def test_another_process_reads_the_rows():
    engine = Engine(CHAIN)
    engine.wake()
    for num in engine.handed_out():
        engine.report(num)
    engine.orchestrator = Orchestrator(engine.orchestrator._ports)
    engine.wake("0001")
    assert engine.calls["runs.read"] == 2
    assert engine.states == {"0001": "succeeded", "0002": "running", "0003": "queued"}


def test_a_nudge_reads_the_rows():
    engine = Engine(CHAIN)
    engine.wake()
    engine.wake()
    assert engine.calls["runs.read"] == 2


def test_nothing_is_dispatched_from_memory_after_a_request_to_cancel():
    engine = Engine(CHAIN)
    engine.wake()
    engine.report(*engine.handed_out())
    # Its nudge is still on the way.
    engine.runs.request_cancel(RUN_ID, "not needed")
    engine.wake("0001")
    assert engine.handed_out() == []
    assert engine.states == {"0001": "succeeded", "0002": "cancelled", "0003": "cancelled"}
    engine.assert_ended_well()


def test_a_row_that_has_changed_is_read_again():
    engine = Engine(CHAIN)
    engine.wake()
    [num] = engine.handed_out()
    # The failure record of its worker, which had not begun: the order is queued and dispatched again elsewhere.
    order = engine.runs.order_rows[RUN_ID][num]
    engine.runs.order_rows[RUN_ID][num] = order.model_copy(update={"dispatched_at": START.replace(year=2027)})
    engine.report(num)
    engine.wake(num)
    assert engine.states["0001"] == "succeeded"
    assert engine.states["0002"] == "running"
    assert engine.calls["runs.read"] == 2


def test_an_attempt_after_a_request_to_stop_is_not_repeated_from_memory():
    engine = Engine([{"retry": {"attempts": 2, "on": [1]}}])
    engine.wake()
    engine.handed_out()
    # It has no nudge: only the broker asks the worker to stop.
    engine.runs.request_stop(RUN_ID, "not needed", order_num="0001")
    engine.report("0001", OrderState.FAILED, exit_code=1)
    engine.wake("0001")
    assert engine.states == {"0001": "failed"}
    assert engine.handed_out() == []
