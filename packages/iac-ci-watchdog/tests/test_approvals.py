"""What the watchdog does for orders that wait for an approval: it never ends them, it wakes the orchestrator."""

from __future__ import annotations

from datetime import timedelta

import pytest

from iac_ci_common import keys
from iac_ci_common.models.approval import StoredApproval
from iac_ci_common.models.watch import KnownRows, Watch
from iac_ci_common.ports import Transition
from iac_ci_common.states import OrderState
from iac_ci_common.testing import (
    FakeClock,
    MemoryAsyncInvoker,
    MemoryLocks,
    MemoryLogger,
    MemoryObjects,
    MemoryRuns,
    MemoryWorkers,
    Sequential,
)
from iac_ci_common.testing.samples import RUN_ID, START, order_row, queued, run_row
from iac_ci_watchdog.act import Watchdog
from iac_ci_watchdog.decide import Action, decide_run
from iac_ci_watchdog.ports import WatchdogPorts

UNTIL = START + timedelta(seconds=600)
ASKED = {"approval": StoredApproval(api=True), "waiting_for": "approval of a signed request", "order_deadline": UNTIL}


@pytest.mark.parametrize(
    ("fields", "reported", "now", "seen"),
    [
        (ASKED, (), START, None),
        (ASKED, (), UNTIL - timedelta(seconds=1), None),
        (ASKED, (), UNTIL, "an approval has expired"),
        (ASKED, ("0001",), START, "an answer to an approval is not processed"),
        (ASKED | {"status": OrderState.DISPATCHING}, (), START, "an answer to an approval is not processed"),
        ({"approval": StoredApproval()}, (), START, "an order is ready and does not wait for its approval yet"),
    ],
)
def test_a_look_at_an_order_that_waits(fields, reported, now, seen):
    orders = [order_row(1, **fields)]
    decision = decide_run(run_row(), KnownRows.of(orders, None), frozenset(reported), None, now, orders)
    assert (decision.action, decision.seen if seen else None) == (Action.NUDGE if seen else Action.WAIT, seen)


class World:
    def __init__(self):
        self.clock = FakeClock(START)
        self.runs, self.locks, self.objects = MemoryRuns(), MemoryLocks(), MemoryObjects(self.clock)
        self.runs.insert(*queued([{"cmds": [], "timeout": 0, "approval": {"api": True, "expires": 600}}]))
        (row,) = self.runs.read(RUN_ID).orders
        fields = {"waiting_for": "approval of a signed request", "order_deadline": UNTIL}
        self.runs.apply([Transition(row, row.model_copy(update=fields))])
        self.workers = MemoryWorkers()
        self.watchdog = Watchdog(
            WatchdogPorts(
                self.clock,
                self.runs,
                self.locks,
                self.objects,
                self.workers,
                MemoryAsyncInvoker(),
                Sequential(),
                MemoryLogger(),
            )
        )
        self.state = {}

    def poll(self):
        """Check once, with what the last check learned; return whether the orchestrator was woken."""
        answer = self.watchdog.check(Watch(run_id=RUN_ID, state=self.state))
        self.state = {"answer": answer.model_dump(mode="json")}
        assert not answer.ended
        woken = self.objects.exists(keys.trigger(RUN_ID))
        self.objects.delete([keys.trigger(RUN_ID)])
        return woken


def test_it_is_woken_at_the_expiry_and_not_before():
    world = World()
    assert not world.poll()
    world.clock.advance(599)
    assert not world.poll()
    world.clock.advance(1)
    assert world.poll()


def test_an_answer_whose_event_was_lost_is_found():
    world = World()
    assert not world.poll()
    world.objects.create(keys.answer(RUN_ID, "0001"), b"{}")
    assert world.poll()


def test_it_claims_and_ends_nothing():
    world = World()
    world.clock.advance(7200)
    world.poll()
    assert world.objects.list(keys.callbacks(RUN_ID)) == []
