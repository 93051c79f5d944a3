from __future__ import annotations

from datetime import timedelta

import pytest

from iac_ci_common.errors import IllegalTransition
from iac_ci_common.ports import Transition
from iac_ci_common.run_events import run_event
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing.samples import RUN_ID, START, TRACE_ID, queued


def ring(locks, now, owner="me", event="0001"):
    return locks.ring(RUN_ID, {event}, owner=owner, now=now, lease_seconds=30, expires_at=now + timedelta(days=2))


def starts(rows, *, with_run=True):
    running = rows.run.model_copy(update={"status": RunState.RUNNING})
    return [
        Transition(order, order.model_copy(update={"status": OrderState.DISPATCHING, "dispatched_at": START}))
        for order in rows.orders
    ] + ([Transition(rows.run, running, run_event(running, START))] if with_run else [])


@pytest.fixture
def rows(adapters):
    found = queued([{}, {}])
    adapters.runs.insert(*found)
    return found


def test_rows_events_and_the_lock_are_written_together(adapters, rows, now):
    noted = {"comment_behind": True, "reported_at": now, "changed_rows": ("1:0001,0002",), "changed_values": "c"}
    mine = ring(adapters.locks, now).model_copy(update=noted)
    assert adapters.last_writes.write(starts(rows), mine)
    read = adapters.runs.read(RUN_ID)
    assert (read.run.status, {order.status for order in read.orders}) == (RunState.RUNNING, {OrderState.DISPATCHING})
    assert [event.kind for event in adapters.runs.events(TRACE_ID)].count("running") == 1
    lock = adapters.locks.read(RUN_ID)
    assert (lock.owner, lock.lease_until, lock.answered, lock.rung) == (None, None, 1, frozenset())
    assert {name: getattr(lock, name) for name in noted} == noted
    assert ring(adapters.locks, now, "you").owner == "you"


def refused(adapters, rows, lock):
    before, held = adapters.runs.read(RUN_ID), adapters.locks.read(RUN_ID)
    events = adapters.runs.events(TRACE_ID)
    assert not adapters.last_writes.write(starts(rows), lock)
    assert (adapters.runs.read(RUN_ID), adapters.locks.read(RUN_ID)) == (before, held)
    assert adapters.runs.events(TRACE_ID) == events


def test_after_an_event_nothing_is_written(adapters, rows, now):
    mine = ring(adapters.locks, now)
    ring(adapters.locks, now, "you", "0002")
    refused(adapters, rows, mine)


def test_if_a_row_has_changed_nothing_is_written(adapters, rows, now):
    mine = ring(adapters.locks, now)
    skipped = rows.orders[1].model_copy(update={"status": OrderState.SKIPPED})
    adapters.runs.apply([Transition(rows.orders[1], skipped)])
    refused(adapters, rows, mine)


def test_who_has_lost_the_lock_writes_nothing(adapters, rows, now):
    mine = ring(adapters.locks, now)
    later = now + timedelta(seconds=31)
    adapters.locks.take(RUN_ID, owner="you", now=later, lease_seconds=30, expires_at=now + timedelta(days=2))
    refused(adapters, rows, mine)


def test_of_a_completed_run_nothing_is_written(adapters, rows, now):
    mine = ring(adapters.locks, now)
    adapters.locks.complete(mine)
    refused(adapters, rows, mine)


def test_after_a_request_to_cancel_nothing_is_written_that_must_not_be_cancelled(adapters, rows, now):
    mine = ring(adapters.locks, now)
    adapters.runs.request_cancel(RUN_ID, "not needed")
    before = adapters.runs.read(RUN_ID)
    assert not adapters.last_writes.write(starts(rows, with_run=False), mine, unless_cancelled=True)
    assert (adapters.runs.read(RUN_ID), adapters.locks.read(RUN_ID).owner) == (before, "me")
    assert adapters.last_writes.write(starts(rows, with_run=False), mine)


def test_a_transition_that_the_table_does_not_allow_is_an_error(adapters, rows, now):
    mine = ring(adapters.locks, now)
    ended = rows.orders[0].model_copy(update={"status": OrderState.SUCCEEDED})
    with pytest.raises(IllegalTransition):
        adapters.last_writes.write([Transition(rows.orders[0], ended)], mine)
