"""A pass after whose writes only workers are started releases the lock with them, and leaves `running` out."""

from __future__ import annotations

import contextlib
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from iac_ci_common.errors import Throttled
from iac_ci_common.limits import LEASE_SECONDS
from iac_ci_common.models.job import ExecutionTarget
from iac_ci_common.models.result import Reporter
from iac_ci_common.models.rows import OrderProject, StoredApproval
from iac_ci_common.parallel import Threads
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing import Observed
from iac_ci_common.testing.samples import RUN_ID, order_row, run_row
from iac_ci_orchestrator.act import Orchestrator
from iac_ci_orchestrator.decide import Dispatch, EndOrder, FinishRun, Plan, RepeatOrder, Wait
from iac_ci_orchestrator.early_release import MOST, may_release_early

sys.path.insert(0, str(Path(__file__).parent))
from engine import Engine

S = OrderState
CHAIN = [{}, {"dependencies": ["order-0001"]}, {"dependencies": ["order-0002"]}]


def end(num, before=S.DISPATCHING, after=S.SUCCEEDED):
    return EndOrder(order_row(num, status=before), order_row(num, status=after))


def start(num, *, again=False, **fields):
    return Dispatch(order_row(num, **fields), order_row(num, status=S.DISPATCHING, **fields), 60, again=again)


def plan(ends=(), dispatches=(), others=(), **fields):
    orders = [change.after for change in (*ends, *dispatches)]
    return Plan(run_row(), ends=tuple(ends), dispatches=tuple(dispatches), orders=(*orders, *others), **fields)


HOP = plan([end(1)], [start(2)], [order_row(3)])
PROJECT = OrderProject(key="a" * 64, name="network", path="network")


@pytest.mark.parametrize(
    ("decided", "may"),
    [
        (HOP, True),
        (plan([], [start(1), start(2)]), True),
        (plan([end(1)], [start(2)], [order_row(3, status=S.SUCCEEDED)]), True),
        (plan([], [start(num) for num in range(MOST)]), True),
        (plan([], [start(num) for num in range(MOST + 1)]), False),
        (plan([end(num) for num in range(1, MOST + 2)], [start(99)]), False),
        # Nothing is started, or something else follows.
        (plan([end(1)]), False),
        (replace(HOP, finish=FinishRun(run_row(), run_row(status=RunState.FAILED))), False),
        (replace(HOP, waits=(Wait(order_row(3), order_row(3)),)), False),
        (replace(HOP, asks=(order_row(3),)), False),
        (replace(HOP, repeats=(RepeatOrder(order_row(3), order_row(3)),)), False),
        # Groups are left after the row says that an order ended without a start.
        (plan([end(1), end(3, S.QUEUED, S.SKIPPED)], [start(2)]), False),
        # The result of another order may come at this moment.
        (plan([end(1)], [start(2)], [order_row(3, status=S.RUNNING)]), False),
        (plan([end(1)], [start(2)], [order_row(3, status=S.DISPATCHING)]), False),
        # A worker of an earlier dispatch may have the order, or the row gets something from the start.
        (plan([end(1)], [start(2, again=True)]), False),
        (plan([end(1)], [start(2, target=ExecutionTarget.CODEBUILD)]), False),
        (plan([end(1)], [start(2, project=PROJECT)]), False),
        (plan([end(1)], [start(2)], [order_row(3, approval=StoredApproval())]), False),
    ],
)
def test_what_may_be_released_early(decided, may):
    assert may_release_early(decided) is may


def test_the_lock_is_free_and_the_rows_are_written_before_a_worker_starts():
    seen = []

    def before(name):
        if name == "workers.start_lambda":
            seen.append((engine.locks.read(RUN_ID).owner, engine.states["0002"]))

    engine = Engine(CHAIN, before=before)
    engine.wake()
    engine.report(*engine.handed_out())
    seen.clear()
    writes = engine.calls.copy()
    engine.wake("0001")
    assert seen == [(None, "dispatching")]
    assert engine.states == {"0001": "succeeded", "0002": "dispatching", "0003": "queued"}
    assert engine.calls["last_writes.write"] - writes["last_writes.write"] == 1
    assert engine.calls["runs.apply"] == writes["runs.apply"]
    assert engine.calls["locks.release"] == writes["locks.release"]


def test_a_result_that_arrives_before_the_last_writes_is_not_lost():
    def before(name):
        if name == "last_writes.write" and engine.calls[name] == 2:
            engine.orchestrator.wake(RUN_ID, frozenset({"0001"}))

    engine = Engine(CHAIN, before=before)
    engine.wake()
    engine.report(*engine.handed_out())
    engine.wake("0001")
    # The event found the run held; the pass wrote without the release, and looked again.
    assert engine.calls["locks.ring"] == 3
    assert engine.states == {"0001": "succeeded", "0002": "running", "0003": "queued"}
    assert engine.locks.read(RUN_ID).owner is None
    assert engine.handed_out() == ["0002"]


def test_a_process_that_dies_before_the_worker_starts_is_followed_by_another_dispatch():
    class Crash(BaseException):
        pass

    def before(name):
        if name == "workers.start_lambda" and engine.calls[name] == 1:
            raise Crash

    engine = Engine([{}], before=before)
    with contextlib.suppress(Crash):
        engine.wake()
    engine.orchestrator = Orchestrator(engine.orchestrator._ports)
    engine.wake()
    assert engine.handed_out() == []
    engine.clock.advance(LEASE_SECONDS)
    engine.wake()
    assert engine.handed_out() == ["0001"]


@pytest.mark.parametrize("named", [(), ("0002",)])
def test_what_a_worker_has_claimed_is_not_dispatched_again(named):
    engine = Engine([{}, {}])
    engine.wake()
    assert engine.handed_out() == ["0001", "0002"]
    engine.claim("0001")
    engine.report("0002")
    engine.clock.advance(LEASE_SECONDS)
    engine.wake(*named)
    assert engine.handed_out() == []
    assert engine.states == {"0001": "dispatching", "0002": "succeeded"}


def test_the_watchdog_is_asked_for_and_urls_are_signed_while_the_rows_are_written():
    # None of the calls is made before the others have begun, and no worker starts before all are done.
    all_began, awaited = threading.Barrier(3), {"last_writes.write", "watchdogs.start", "objects.presign_get"}

    def before(name):
        if name in awaited:
            awaited.discard(name)
            all_began.wait(120)

    engine = Engine([{}], before=before)
    engine.orchestrator = Orchestrator(replace(engine.orchestrator._ports, parallel=Threads()))
    engine.wake()
    assert engine.handed_out() == ["0001"]
    assert engine.watchdogs.started == [(RUN_ID, 1)]


@pytest.mark.parametrize("times", [1, 2, 3])
def test_no_worker_starts_before_the_watchdog_runs(times):
    def before(name):
        if name == "watchdogs.start" and engine.calls[name] <= times:
            raise Throttled("wait")

    engine = Engine([{}], before=before)
    # Asked for beside the writes, then once more, and a second or two later.
    with pytest.raises(Throttled) if times == 3 else contextlib.nullcontext():
        engine.wake()
    assert engine.locks.read(RUN_ID).owner is None
    assert engine.states == {"0001": "dispatching"}
    assert engine.handed_out() == ([] if times == 3 else ["0001"])
    engine.clock.advance(LEASE_SECONDS)
    engine.wake()
    assert len(engine.handed_out()) == 1


def test_writes_that_are_refused_start_no_worker_with_the_watchdog_that_was_asked_for():
    def before(name):
        if name == "last_writes.write":
            engine.runs.request_cancel(RUN_ID, "not needed")

    engine = Engine(CHAIN)
    engine.wake()
    engine.report(*engine.handed_out())
    ports = engine.orchestrator._ports
    engine.orchestrator._ports = replace(
        ports, last_writes=Observed(ports.last_writes, name="last_writes", before=before)
    )
    engine.wake("0001")
    assert engine.handed_out() == []
    engine.assert_ended_well()


def test_a_start_that_fails_for_a_moment_is_raised_and_repeated():
    def before(name):
        if name == "workers.start_lambda" and engine.calls[name] <= 2:
            raise Throttled("wait")

    engine = Engine([{}], before=before)
    with pytest.raises(Throttled):
        engine.wake()
    assert engine.states == {"0001": "dispatching"}
    engine.clock.advance(LEASE_SECONDS)
    engine.wake("0001")
    assert engine.handed_out() == ["0001"]
    # The repeated dispatch is written as running: it may wait for a free worker for hours.
    assert engine.states == {"0001": "running"}


def test_a_claim_of_the_engine_is_no_worker():
    engine = Engine([{}])
    engine.wake()
    engine.claim("0001", by=Reporter.WATCHDOG)
    engine.clock.advance(LEASE_SECONDS)
    engine.wake()
    # The watchdog, which has it, ends the order.
    assert engine.handed_out() == ["0001"]
