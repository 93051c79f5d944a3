"""Orders that the watchdog queued again, while a worker of an earlier dispatch may still begin them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from iac_ci_common import keys
from iac_ci_common.models.result import Claim, Reporter
from iac_ci_common.ports import Transition
from iac_ci_common.purpose import Purpose
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_orchestrator.decide import decide
from iac_ci_orchestrator.remembered_rows import may_be_applied

sys.path.insert(0, str(Path(__file__).parent))
from engine import Engine

QUEUED = {"status": OrderState.QUEUED, "handed_over": 1, "dispatched_at": None, "order_deadline": None}


def queued_again(*, over):
    """Return an engine whose run is ``over`` or goes on, and whose first order was dispatched and queued again."""
    engine = Engine([{}, {"dependencies": ["order-0001"]}])
    engine.wake()
    engine.handed_out()
    sent = engine.runs.find_order(RUN_ID, "0001")
    assert not engine.runs.apply([Transition(sent, sent.model_copy(update=QUEUED))])
    if over is None:
        return engine
    if over == "cancelled":
        engine.runs.request_cancel(RUN_ID, "by me")
    else:
        run = engine.runs.find_run(RUN_ID)
        engine.clock.advance((run.deadline - engine.clock.now()).total_seconds())
    return engine


@pytest.mark.parametrize("over", ["cancelled", "time out"])
def test_an_order_whose_earlier_worker_began_it_ends_with_that_worker(over):
    engine = queued_again(over=over)
    engine.claim("0001")
    engine.wake()
    assert engine.states == {"0001": "dispatching", "0002": "cancelled"}
    assert engine.handed_out() == []
    assert not engine.done.exists(keys.done(RUN_ID))
    engine.report("0001")
    engine.wake("0001")
    assert engine.states == {"0001": "succeeded", "0002": "cancelled"}
    engine.assert_ended_well()


def test_a_result_that_came_while_the_order_was_queued_is_not_forgotten():
    engine = queued_again(over="cancelled")
    engine.claim("0001")
    engine.report("0001")
    engine.wake()
    assert engine.states == {"0001": "succeeded", "0002": "cancelled"}
    engine.assert_ended_well()


@pytest.mark.parametrize("by", [None, Reporter.ORCHESTRATOR, Reporter.WATCHDOG])
def test_an_order_that_no_worker_began_ends_and_none_can_begin_it_any_more(by):
    engine = queued_again(over="cancelled")
    if by is not None:
        engine.claim("0001", by)
    engine.wake()
    assert engine.states == {"0001": "cancelled", "0002": "cancelled"}
    claim = Claim.from_stored(engine.objects.get(keys.claim(RUN_ID, "0001")))
    assert claim.claimed_by is (by or Reporter.ORCHESTRATOR)
    engine.assert_ended_well()


def test_a_claim_that_cannot_be_read_may_be_a_workers():
    engine = queued_again(over="cancelled")
    engine.objects.create(keys.claim(RUN_ID, "0001"), b"{")
    engine.wake()
    assert engine.states == {"0001": "dispatching", "0002": "cancelled"}


@pytest.mark.parametrize("purpose", [Purpose.APPLY, None])
def test_an_order_that_was_asked_to_stop_is_not_started_again(purpose):
    engine = queued_again(over=None)
    engine.runs.request_stop(RUN_ID, "by me", order_num="0001")
    row = engine.runs.find_order(RUN_ID, "0001")
    engine.runs.order_rows[RUN_ID]["0001"] = row.model_copy(update={"purpose": purpose})
    engine.wake()
    assert engine.handed_out() == []
    order = engine.runs.find_order(RUN_ID, "0001")
    assert (order.status.value, order.reason) == ("cancelled", "the order was stopped: by me; it had not begun")
    engine.assert_ended_well()


def test_the_wish_to_stop_the_run_leaves_an_apply():
    engine = queued_again(over=None)
    engine.runs.request_stop(RUN_ID, "by me")
    row = engine.runs.find_order(RUN_ID, "0001")
    engine.runs.order_rows[RUN_ID]["0001"] = row.model_copy(update={"purpose": Purpose.APPLY})
    engine.wake()
    assert engine.handed_out() == ["0001"]


def test_an_order_that_was_queued_again_is_not_started_from_memory():
    """Its row may have a wish to stop meanwhile, which no lock lists."""
    before = order_row(1, handed_over=1)
    plan = decide(run_row(), [before], {}, START)
    assert plan.dispatches
    assert not may_be_applied(plan)
    assert may_be_applied(decide(run_row(), [order_row(1)], {}, START))


def test_an_order_that_was_never_dispatched_costs_no_claim():
    engine = Engine([{}], max_parallel=0)
    engine.runs.request_cancel(RUN_ID, "by me")
    engine.wake()
    assert engine.states == {"0001": "cancelled"}
    assert not engine.objects.exists(keys.claim(RUN_ID, "0001"))
