"""The table of trades: who is served, who is refused and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from iac_ci_broker.decide import Known, Refuse, Serve, decide
from iac_ci_common.models.result import Claim, Reporter
from iac_ci_common.models.trade import Refusal, TicketChain, Trade
from iac_ci_common.purpose import Purpose
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_common.tickets import digest

DISPATCH = "1767225600000"
OTHER = "1767225630000"
ZERO, ONE, TWO, THREE = ("0" * 64, "1" * 64, "2" * 64, "3" * 64)


def trade(ticket=ZERO, following=ONE, dispatch=DISPATCH, call="call"):
    return Trade(
        run_id=RUN_ID,
        order_num="0001",
        dispatch=dispatch,
        ticket=ticket,
        next_sha256=digest(following),
        execution=f"{dispatch}:{call}:random",
    )


def order(**fields):
    values = {
        "status": OrderState.RUNNING,
        "dispatched_at": START,
        "order_deadline": START + timedelta(minutes=30),
        "tickets": (f"{DISPATCH}:{digest(ZERO)}",),
    }
    return order_row(1, **(values | fields))


def chain(present=ONE, before=ZERO, call="call"):
    return TicketChain(
        run_id=RUN_ID,
        order_num="0001",
        dispatch=DISPATCH,
        present=digest(present),
        before=digest(before),
        execution=f"{DISPATCH}:{call}:random",
        expires_at=START + timedelta(days=2),
    )


def claim(by=Reporter.WORKER, dispatch=DISPATCH):
    return Claim(run_id=RUN_ID, order_num="0001", claimed_by=by, claimed_at=START, execution=f"{dispatch}:call:random")


@dataclass
class Case:
    trade: Trade = field(default_factory=trade)
    run: Any = field(default_factory=run_row)
    order: Any = field(default_factory=order)
    claim: Claim | None = None
    chain: TicketChain | None = None
    at: datetime = START + timedelta(seconds=10)

    def decide(self) -> Serve | Refuse:
        return decide(self.trade, Known(self.run, self.order, self.claim, self.chain), self.at)


SERVED = {
    "the first trade makes the chain": (Case(), None),
    "the present ticket moves it": (Case(trade(ONE, TWO), chain=chain()), digest(ONE)),
    "a dispatching order, whose worker was faster": (Case(order=order(status=OrderState.DISPATCHING)), None),
    "the claim's worker": (Case(trade(ONE, TWO), chain=chain(), claim=claim()), digest(ONE)),
    "a dispatch whose first ticket the row has dropped": (
        Case(trade(ONE, TWO), order=order(tickets=()), chain=chain()),
        digest(ONE),
    ),
    "the claim's worker, whose first ticket another worker of the dispatch has traded": (
        Case(trade(ZERO, TWO), chain=chain(call="other"), claim=claim()),
        digest(ONE),
    ),
    "the claim's worker, though the order was queued again": (
        Case(trade(ONE, TWO), order=order(status=OrderState.QUEUED), chain=chain(), claim=claim()),
        digest(ONE),
    ),
    "before the grace is over": (Case(at=START + timedelta(minutes=31)), None),
}


@pytest.mark.parametrize("name", SERVED)
def test_served(name):
    case, expected = SERVED[name]
    decision = case.decide()
    assert isinstance(decision, Serve)
    assert decision.expected == expected
    assert decision.chain is not None
    assert (decision.chain.before, decision.chain.present) == (digest(case.trade.ticket), case.trade.next_sha256)
    assert decision.chain.last_seen == case.at


def test_the_same_pair_is_served_again_and_writes_nothing():
    decision = Case(trade(ZERO, ONE), chain=chain(ONE, ZERO)).decide()
    assert isinstance(decision, Serve)
    assert decision.chain is None


REFUSED = {
    "no run": (Case(run=None), Refusal.UNKNOWN, False),
    "no order": (Case(order=None), Refusal.UNKNOWN, False),
    "an unknown dispatch": (Case(trade(dispatch=OTHER)), Refusal.UNKNOWN, False),
    "the order of a version before tickets": (Case(order=order(tickets=())), Refusal.UNKNOWN, False),
    "an order that is not dispatched": (Case(order=order(status=OrderState.QUEUED)), Refusal.UNKNOWN, False),
    "an order that was queued again": (
        Case(trade(ONE, TWO), order=order(status=OrderState.QUEUED), chain=chain()),
        Refusal.UNKNOWN,
        False,
    ),
    "a guessed ticket": (Case(trade(THREE, ONE)), Refusal.USED, True),
    "a used ticket with another next one": (Case(trade(ZERO, TWO), chain=chain()), Refusal.USED, True),
    "a used first ticket of the claim's worker, which has traded since": (
        Case(trade(ZERO, TWO), chain=chain(), claim=claim()),
        Refusal.USED,
        True,
    ),
    "a used first ticket of another worker than the claim's": (
        Case(trade(ZERO, TWO, call="third"), chain=chain(call="other"), claim=claim()),
        Refusal.USED,
        True,
    ),
    "another used ticket of the claim's worker": (
        Case(trade(TWO, THREE), chain=chain(call="other"), claim=claim()),
        Refusal.USED,
        True,
    ),
    "the first ticket of the claim's worker, traded for itself": (
        Case(trade(ZERO, ZERO), chain=chain(call="other"), claim=claim()),
        Refusal.USED,
        True,
    ),
    "an older ticket with its own next one": (Case(trade(ZERO, ONE), chain=chain(TWO, ONE)), Refusal.USED, True),
    "a worker of an attempt that has ended": (
        Case(trade(ONE, TWO), order=order(attempt=2, tickets=(), dispatched_at=START), chain=chain()),
        Refusal.ENDED,
        False,
    ),
    "the first trade of an attempt that has ended": (
        Case(order=order(attempt=2, tickets=(f"{OTHER}:{digest(ONE)}",))),
        Refusal.UNKNOWN,
        False,
    ),
    "a ticket traded for itself": (Case(trade(ZERO, ZERO)), Refusal.USED, True),
    "another dispatch after the claim": (Case(claim=claim(dispatch=OTHER)), Refusal.TAKEN, False),
    "another worker of the dispatch after the claim": (Case(trade(call="other"), claim=claim()), Refusal.TAKEN, False),
    "a claim of the watchdog": (Case(claim=claim(Reporter.WATCHDOG)), Refusal.ENDED, False),
    "a claim of the orchestrator": (Case(claim=claim(Reporter.ORCHESTRATOR)), Refusal.ENDED, False),
    "an ended run": (Case(run=run_row(status=RunState.FAILED)), Refusal.ENDED, False),
    "time that is over": (Case(at=START + timedelta(minutes=36, seconds=1)), Refusal.ENDED, False),
    **{
        f"an order that {status.value}": (Case(order=order(status=status)), Refusal.ENDED, False)
        for status in (OrderState.SUCCEEDED, OrderState.FAILED, OrderState.TIMED_OUT, OrderState.CANCELLED)
    },
    "a used ticket of an ended order": (
        Case(trade(ZERO, TWO), order=order(status=OrderState.FAILED), chain=chain()),
        Refusal.USED,
        True,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    case, refusal, is_misuse = REFUSED[name]
    decision = case.decide()
    assert isinstance(decision, Refuse)
    assert (decision.refusal, decision.misused is not None) == (refusal, is_misuse)
    assert case.trade.ticket not in decision.reason


STOPPED = {
    "a stopped run": (Case(run=run_row(stop_reason="wrong branch")), "the run was stopped: wrong branch"),
    "a cancelled run, whose running orders finish": (Case(run=run_row(cancel_reason="wrong branch")), None),
    "a stopped order": (Case(order=order(stop_reason="wrong branch")), "the order was stopped: wrong branch"),
    "a stopped order that applies": (
        Case(order=order(stop_reason="wrong branch", purpose=Purpose.APPLY)),
        "the order was stopped: wrong branch",
    ),
    "an apply of a stopped run, which is not named": (
        Case(run=run_row(stop_reason="wrong branch"), order=order(purpose=Purpose.APPLY)),
        None,
    ),
    "a plan of a superseded run": (
        Case(run=run_row(cancel_reason="superseded by commit abc"), order=order(purpose=Purpose.PLAN)),
        "the run is superseded by commit abc",
    ),
    "an apply of a superseded run": (
        Case(run=run_row(cancel_reason="superseded by commit abc"), order=order(purpose=Purpose.APPLY)),
        None,
    ),
    "another order of a superseded run": (Case(run=run_row(cancel_reason="superseded by commit abc")), None),
    "a plan of a cancelled run": (
        Case(run=run_row(cancel_reason="wrong branch"), order=order(purpose=Purpose.PLAN)),
        None,
    ),
    "the run's deadline": (
        Case(order=order(order_deadline=START + timedelta(hours=1)), at=START + timedelta(hours=1, seconds=30)),
        "the run reached its job_timeout",
    ),
    "the order's deadline": (Case(at=START + timedelta(minutes=30, seconds=30)), "the order reached its time-out"),
    "a deadline that the worker keeps by itself": (Case(at=START + timedelta(minutes=30)), None),
    "nothing": (Case(), None),
}


@pytest.mark.parametrize("name", STOPPED)
def test_the_wish_to_stop(name):
    case, stop = STOPPED[name]
    decision = case.decide()
    assert isinstance(decision, Serve)
    assert decision.stop == stop


def test_a_chain_is_of_the_attempt_that_it_began_in():
    decision = Case(order=order(attempt=2)).decide()
    assert isinstance(decision, Serve)
    assert decision.chain.attempt == 2
