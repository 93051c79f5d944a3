"""When a failed order is repeated, and what its next attempt has."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from iac_ci_common import keys
from iac_ci_common.models.result import Reporter, Result
from iac_ci_common.purpose import Purpose
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_orchestrator.decide import decide

sys.path.insert(0, str(Path(__file__).parent))
from engine import Engine

S = OrderState
NOW = START + timedelta(seconds=10)
REPEATED = {"attempts": 3, "retry_on": (7, 137)}


def running(**fields):
    values = {
        "status": S.RUNNING,
        "dispatched_at": START,
        "started_at": START,
        "order_deadline": START + timedelta(seconds=360),
        "tickets": ("1:" + "a" * 64,),
        "handed_over": 2,
        "build_id": "p:1",
    }
    return order_row(1, **(values | REPEATED | fields))


def failed(**fields):
    values = {"status": S.FAILED, "exit_code": 7, "reason": "command 1 of 1 ended with exit code 7"}
    return Result(run_id=RUN_ID, order_num="0001", ended_at=NOW, **({"reported_by": Reporter.WORKER} | values | fields))


DECISIONS = {
    "a code that is named": ({}, {}, {}, True),
    "the same, before the row said running": ({"status": S.DISPATCHING}, {}, {}, True),
    "a signal that ended bash": ({}, {"exit_code": -9}, {}, True),
    "another code": ({}, {"exit_code": 8}, {}, False),
    "the last attempt": ({"attempt": 3}, {}, {}, False),
    "an order without retry": ({"attempts": 1, "retry_on": ()}, {}, {}, False),
    "a success with that code": ({}, {"status": S.SUCCEEDED}, {}, False),
    "a time-out": ({}, {"status": S.TIMED_OUT}, {}, False),
    "a cancellation": ({}, {"status": S.CANCELLED}, {}, False),
    "no exit code: the order could not begin": ({}, {"exit_code": None}, {}, False),
    "the watchdog's word": ({}, {"reported_by": Reporter.WATCHDOG}, {}, False),
    "a newer function's word": ({}, {"reported_by": "inspector"}, {}, False),
    "the run was cancelled": ({}, {}, {"cancel_reason": "me"}, False),
    "the run was stopped": ({}, {}, {"stop_reason": "me"}, False),
    "the run was stopped, and this is an apply": ({"purpose": Purpose.APPLY}, {}, {"stop_reason": "me"}, True),
    "the order was stopped": ({"stop_reason": "me"}, {}, {}, False),
    "the run's time is over": ({}, {}, {"deadline": NOW}, False),
}


@pytest.mark.parametrize("name", DECISIONS)
def test_whether_an_order_is_repeated(name):
    order, result, run, repeated = DECISIONS[name]
    plan = decide(run_row(**run), [running(**order), order_row(2, after=[1])], {"0001": failed(**result)}, NOW)
    assert bool(plan.repeats) is repeated
    assert bool(plan.ends) is not repeated
    assert plan.dispatches == () or not repeated, "a row changes once in a plan"


def test_the_next_attempt_has_nothing_of_the_one_before_but_the_reason():
    (repeat,) = decide(run_row(), [running()], {"0001": failed()}, NOW).repeats
    reason = "attempt 1 of 3: command 1 of 1 ended with exit code 7"
    assert repeat.after == order_row(1, attempt=2, reason=reason, **REPEATED)


def test_the_next_attempt_starts_in_the_next_pass_with_deadlines_of_its_own():
    queued = order_row(1, attempt=2, reason="attempt 1 of 3: why", timeout=60, **REPEATED)
    near = run_row(deadline=NOW + timedelta(seconds=30))
    (dispatch,) = decide(near, [queued], {}, NOW).dispatches
    assert (dispatch.after.attempt, dispatch.after.reason, dispatch.timeout) == (2, None, 30)
    assert dispatch.after.order_deadline == near.deadline


def test_an_order_that_is_repeated_keeps_its_place():
    plan = decide(run_row(max_parallel=1), [running(), order_row(2)], {"0001": failed()}, NOW)
    assert plan.repeats
    assert plan.dispatches == ()


@pytest.mark.parametrize(
    ("run", "order", "reason"),
    [
        ({}, {"stop_reason": "by me"}, "the order was stopped: by me; it is not repeated"),
        ({"stop_reason": "by me"}, {}, "the run was stopped: by me; it is not repeated"),
        ({"cancel_reason": "by me"}, {}, "the run was cancelled: by me"),
    ],
)
def test_a_request_to_stop_ends_an_order_that_waits_for_its_next_attempt(run, order, reason):
    plan = decide(run_row(**run), [order_row(1, attempt=2, **REPEATED, **order)], {}, NOW)
    assert [(end.after.status, end.after.reason) for end in plan.ends] == [(S.CANCELLED, reason)]
    assert plan.finish.after.status is RunState.CANCELLED


ORDER = {"cmds": ["./upload.sh"], "idempotent": True, "retry": {"attempts": 3, "on": [7]}}


def report(engine, attempt, **fields):
    engine.clock.advance(5)
    body = failed(**fields).model_copy(update={"ended_at": engine.clock.now()}).model_dump_json().encode()
    engine.objects.create(keys.result(RUN_ID, "0001", attempt), body)
    engine.wake("0001")


def test_each_attempt_has_keys_of_its_own_and_the_last_one_decides():
    engine = Engine([ORDER, {"dependencies": ["order-0001"]}])
    engine.wake()
    claims = []
    for attempt in (1, 2):
        claims += [work.urls.claim for work in engine.workers.lambda_works]
        engine.workers.lambda_works = []
        report(engine, attempt)
        assert engine.states == {"0001": "dispatching", "0002": "queued"}
    claims += [work.urls.claim for work in engine.workers.lambda_works]
    engine.workers.lambda_works = []
    report(engine, 3, status=S.SUCCEEDED, exit_code=0, reason=None)
    assert engine.handed_out() == ["0002"]
    places = [f"{RUN_ID}/0001/claim.json", f"{RUN_ID}/0001/2/claim.json", f"{RUN_ID}/0001/3/claim.json"]
    assert [next(place for place in places if place in claim) for claim in claims] == places
    (first,) = [row for row in engine.runs.read(RUN_ID).orders if row.order_num == "0001"]
    assert (first.status, first.attempt, first.reason) == (S.SUCCEEDED, 3, None)
    history = [(event.kind, event.attempt) for event in engine.runs.events(engine.runs.find_run(RUN_ID).trace_id)]
    assert [entry for entry in history if entry[0] == "queued" and entry[1] > 1] == [("queued", 2), ("queued", 3)]


def test_the_last_attempt_that_fails_ends_the_order_with_its_number():
    engine = Engine([ORDER])
    engine.wake()
    for attempt in (1, 2, 3):
        report(engine, attempt)
    assert engine.marker.orders[0].attempts == 3
    assert engine.marker.orders[0].reason == "attempt 3 of 3: command 1 of 1 ended with exit code 7"
    engine.assert_ended_well()


def test_a_late_event_of_the_first_attempt_says_nothing_about_the_second():
    engine = Engine([ORDER])
    engine.wake()
    report(engine, 1)
    engine.wake("0001")
    engine.wake()
    assert engine.states == {"0001": "dispatching"}
    assert engine.handed_out() == ["0001", "0001"]


def test_the_parts_of_a_log_go_with_each_attempt():
    engine = Engine([ORDER])
    engine.wake()
    for attempt in (1, 2):
        for number in range(2):
            engine.objects.put(keys.live_part(RUN_ID, "0001", number, attempt), b"part")
    report(engine, 1, log_stored=True, live_parts=2)
    assert engine.objects.list("tmp/live/") == [keys.live_part(RUN_ID, "0001", number, 2) for number in range(2)]
    report(engine, 2, log_stored=True, live_parts=2)
    assert engine.objects.list("tmp/live/") == []
