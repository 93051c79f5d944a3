"""A process that released a run's lock last decides from the rows that it remembers; all others read them."""

from __future__ import annotations

import contextlib
import sys
import threading
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest

from iac_ci_common.errors import AtCapacity, PortFailed, Throttled
from iac_ci_common.limits import LEASE_SECONDS
from iac_ci_common.models.lock import Lock
from iac_ci_common.parallel import Threads
from iac_ci_common.ports import RunRows
from iac_ci_common.states import TERMINAL, OrderState
from iac_ci_common.testing import MemoryRuns
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_orchestrator.act import Orchestrator
from iac_ci_orchestrator.changed_rows import with_changes
from iac_ci_orchestrator.remembered_rows import MOST_ROWS, Remembered, RememberedRows

sys.path.insert(0, str(Path(__file__).parent))
from engine import Engine

CHAIN = [{}, {"dependencies": ["order-0001"]}, {"dependencies": ["order-0002"]}]


def lock(**fields):
    return Lock(run_id=RUN_ID, expires_at=START, **fields)


def rows(count=1):
    return RunRows(run_row(order_count=count), tuple(order_row(num) for num in range(1, count + 1)))


def test_what_was_changed_before_an_owner_died_is_not_known():
    remembered = RememberedRows()
    remembered.keep(lock(token=3, doorbell=7, answered=5), rows())
    kept = remembered.take(RUN_ID)
    taken = lock(token=3, doorbell=8, answered=7)
    assert kept.as_of(taken, MemoryRuns()) == rows()
    # An owner that died may have changed what nobody lists.
    assert kept.as_of(taken.model_copy(update={"token": 4}), MemoryRuns()) is None
    assert remembered.take(RUN_ID) is None


def test_a_row_of_which_the_lock_tells_too_little_is_read():
    runs, before = MemoryRuns(), rows(4)
    runs.insert(before.run, before.orders, ())
    remembered = Remembered(0, 7, before)
    started, ended = ({"status": status} for status in (OrderState.DISPATCHING, OrderState.SUCCEEDED))
    held = lock(doorbell=8, answered=7, changed_rows=("7:",))
    last = before
    for num, values, is_known in (("0002", started, False), ("0003", started, True), ("0002", ended, True)):
        row = next(order for order in last.orders if order.order_num == num)
        later = runs.order_rows[RUN_ID][num] = row.model_copy(update=values)
        last = RunRows(last.run, tuple(later if order is row else order for order in last.orders))
        held = with_changes(held, {num: row}, last if is_known else None)
        held = held.model_copy(update={"answered": held.doorbell, "doorbell": held.doorbell + 1})
    # Nothing but the row whose first change has no values.
    runs.order_rows[RUN_ID].pop("0003")
    assert remembered.as_of(held, runs) == last
    # Where the table has no capacity for it, all are read, which is tried again.
    del runs.order_rows[RUN_ID]["0002"]
    assert remembered.as_of(held, runs) is None


def test_the_oldest_rows_make_room():
    remembered = RememberedRows()
    half = MOST_ROWS // 2
    kept = [lock(doorbell=7).model_copy(update={"run_id": f"{RUN_ID[:-1]}{number}"}) for number in range(3)]
    for one in kept:
        remembered.keep(one, rows(half))
    known = [remembered.take(one.run_id) is not None for one in kept]
    assert known == [False, True, True]


def test_a_chain_reads_its_rows_once():
    engine = Engine(CHAIN)
    engine.run_to_the_end()
    engine.assert_ended_well()
    assert engine.calls["runs.read"] == 1


@pytest.mark.parametrize("failure", [None, Throttled, AtCapacity], ids=str)
@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize(
    "orders",
    [
        pytest.param(CHAIN, id="chain"),
        pytest.param([{}] * 4 + [{"dependencies": ["order-0001", "order-0003"]}], id="wide"),
        pytest.param([{}, {"dependencies": ["order-0001"]}, {"must_succeed": False}], id="a failure"),
    ],
)
def test_what_a_process_remembers_is_what_the_table_has(orders, processes, failure):
    def before(name):
        # The first start of each order, and its repetition a second or two later.
        if name == "workers.start_lambda" and failure is not None and engine.calls[name] % 3:
            raise failure("wait")

    engine, checked = Engine(orders, before=before), []
    turns = cycle([Orchestrator(engine.orchestrator._ports) for _ in range(processes)])

    def wake(*nums):
        engine.orchestrator = next(turns)
        with contextlib.suppress(Throttled):
            engine.wake(*nums)
        remembered = engine.orchestrator._remembered._entries.get(RUN_ID)
        if remembered is not None:
            checked.append(remembered)
            assert remembered.rows == engine.runs.read(RUN_ID)

    wake()
    reported = set()
    for _ in range(10):
        for num in engine.handed_out():
            if num not in reported:
                reported.add(num)
                engine.report(num, *([OrderState.FAILED] if num == "0003" else []))
                wake(num)
        engine.clock.advance(LEASE_SECONDS)
        wake()
    assert all(order.status in TERMINAL for order in engine.runs.read(RUN_ID).orders)
    assert len(checked) > 2


@pytest.mark.parametrize("number", [2, 3])
def test_processes_that_take_turns_read_their_rows_once(number):
    orders = [{"dependencies": [f"order-{number:04d}"] if number else []} for number in range(40)]
    engine = Engine(orders)
    processes = [Orchestrator(engine.orchestrator._ports) for _ in range(number)]
    engine.wake()
    for turn in range(40):
        engine.orchestrator = processes[turn % number]
        for num in engine.handed_out():
            engine.report(num)
            engine.wake(num)
    engine.assert_ended_well()
    # The first wake had a process of its own.
    assert (engine.calls["runs.read"], engine.calls["runs.read_some"]) == (1 + number, 0)


def test_another_process_reads_the_rows():
    engine = Engine(CHAIN)
    engine.wake()
    for num in engine.handed_out():
        engine.report(num)
    engine.orchestrator = Orchestrator(engine.orchestrator._ports)
    engine.wake("0001")
    assert engine.calls["runs.read"] == 2
    assert engine.states == {"0001": "succeeded", "0002": "dispatching", "0003": "queued"}


def test_a_nudge_reads_the_rows():
    engine = Engine(CHAIN)
    engine.wake()
    engine.wake()
    assert engine.calls["runs.read"] == 2


def test_a_nudge_reads_no_row_twice():
    engine = Engine(CHAIN)
    first, second = engine.orchestrator, Orchestrator(engine.orchestrator._ports)
    engine.wake()
    engine.orchestrator = second
    engine.wake()
    engine.orchestrator = first
    engine.wake()
    assert (engine.calls["runs.read"], engine.calls["runs.read_some"]) == (3, 0)


def test_the_result_is_read_once_and_while_the_doorbell_is_rung():
    # Neither call is made before the other one has begun.
    both_began, awaited = threading.Barrier(2), set()

    def before(name):
        if name in awaited:
            both_began.wait(120)

    engine = Engine(CHAIN, before=before)
    engine.orchestrator = Orchestrator(replace(engine.orchestrator._ports, parallel=Threads()))
    engine.wake()
    engine.report(*engine.handed_out())
    awaited |= {"locks.ring", "objects.get"}
    engine.wake("0001")
    assert engine.states == {"0001": "succeeded", "0002": "dispatching", "0003": "queued"}
    assert engine.calls["objects.get"] == 1


def test_a_process_that_finds_the_run_held_expects_its_results_no_more():
    engine = Engine([{}, {}])
    engine.wake()
    for num in engine.handed_out():
        engine.report(num)
    now = engine.clock.now()
    engine.locks.ring(RUN_ID, {"0001"}, owner="other", now=now, lease_seconds=30, expires_at=now)
    engine.wake("0001")
    engine.wake("0002")
    assert engine.calls["objects.get"] == 1


def test_a_process_that_found_the_run_held_sees_what_has_changed():
    engine = Engine([{}, {}, {}])
    first, second = engine.orchestrator, Orchestrator(engine.orchestrator._ports)
    engine.wake()
    for num in engine.handed_out():
        engine.report(num)
    now = engine.clock.now()
    engine.locks.ring(RUN_ID, {"0001"}, owner="other", now=now, lease_seconds=30, expires_at=now)
    engine.wake("0002")
    held = engine.locks.read(RUN_ID)
    engine.locks.release(with_changes(held, {}, None))
    engine.orchestrator = second
    engine.wake("0001")
    engine.orchestrator = first
    engine.wake("0002")
    assert (engine.calls["runs.read"], engine.calls["runs.read_some"]) == (2, 0)
    assert engine.states == {"0001": "succeeded", "0002": "succeeded", "0003": "dispatching"}


def test_a_result_that_could_not_be_read_meanwhile_is_read_with_the_lock():
    failures = []

    def before(name):
        if name == "objects.get" and failures:
            raise failures.pop()

    engine = Engine(CHAIN, before=before)
    engine.wake()
    engine.report(*engine.handed_out())
    failures.append(PortFailed("no answer", retry_is_safe=True))
    engine.wake("0001")
    assert engine.states == {"0001": "succeeded", "0002": "dispatching", "0003": "queued"}
    assert engine.calls["objects.get"] == 2


def test_a_result_that_was_read_meanwhile_ends_no_later_attempt():
    engine = Engine([{"retry": {"attempts": 2, "on": [1]}}])
    engine.wake()
    engine.handed_out()
    first, ports = engine.orchestrator, engine.orchestrator._ports
    engine.report("0001", OrderState.FAILED, exit_code=1)
    engine.orchestrator = Orchestrator(ports)
    engine.wake("0001")
    # The same event once more, for the process that remembers the first attempt as open.
    engine.orchestrator = first
    engine.wake("0001")
    [order] = engine.runs.read(RUN_ID).orders
    assert (order.attempt, order.status) == (2, OrderState.DISPATCHING)


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


def dispatch_elsewhere(engine, num):
    """The failure record of its worker, which had not begun: the order is queued and dispatched again."""
    order = engine.runs.order_rows[RUN_ID][num]
    engine.runs.order_rows[RUN_ID][num] = order.model_copy(update={"dispatched_at": START.replace(year=2027)})


def test_a_row_that_has_changed_is_read_again():
    engine = Engine(CHAIN)
    engine.wake()
    [num] = engine.handed_out()
    dispatch_elsewhere(engine, num)
    engine.report(num)
    engine.wake(num)
    assert engine.states["0001"] == "succeeded"
    assert engine.states["0002"] == "dispatching"
    assert engine.calls["runs.read"] == 2


def test_a_merge_that_is_put_off_ends_the_pass_also_after_a_refused_write(monkeypatch):
    engine, tries = Engine([{}]), []

    def is_put_off(run, unset):
        tries.append(run.run_id)
        assert len(tries) == 1, "the pass is repeated without end"
        return False

    monkeypatch.setattr(engine.orchestrator._merger, "finish", is_put_off)
    engine.wake()
    [num] = engine.handed_out()
    dispatch_elsewhere(engine, num)
    engine.report(num)
    engine.wake(num)
    assert tries == [RUN_ID]
    assert engine.locks.read(RUN_ID).owner is None


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
