from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iac_ci_common.graph import Readiness, readiness
from iac_ci_common.groups import Access, Standing
from iac_ci_common.models.changes import Changes, Operation
from iac_ci_common.models.result import Reporter, Result
from iac_ci_common.states import OPEN, TERMINAL, OrderState, RunState
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_orchestrator.decide import decide, outcome
from iac_ci_orchestrator.early_release import may_release_early

S = OrderState
NOW = START + timedelta(seconds=10)


def result(num, status=S.SUCCEEDED, at=NOW, **fields):
    return Result(
        run_id=RUN_ID, order_num=f"{num:04d}", status=status, reported_by=Reporter.WORKER, ended_at=at, **fields
    )


def results(*found):
    return {one.order_num: one for one in found}


def open_row(num, status=S.RUNNING, at=START, **fields):
    return order_row(num, status=status, dispatched_at=at, order_deadline=at + timedelta(seconds=360), **fields)


def states(plan):
    return {order.order_num: order.status for order in plan.orders}


def test_what_is_ready_starts_and_the_rest_waits():
    plan = decide(run_row(), [order_row(1), order_row(2, after=[1]), order_row(3)], {}, NOW)
    assert [dispatch.after.order_num for dispatch in plan.dispatches] == ["0001", "0003"]
    assert states(plan)["0002"] is S.QUEUED
    assert plan.finish is None


def test_an_end_has_its_consequences_in_the_same_plan():
    orders = [open_row(1), order_row(2, after=[1]), order_row(3, after=[2])]
    failed = decide(run_row(), orders, results(result(1, S.FAILED)), NOW)
    assert states(failed) == {"0001": S.FAILED, "0002": S.SKIPPED, "0003": S.SKIPPED}
    assert failed.finish is not None
    assert failed.finish.after.status is RunState.FAILED
    succeeded = decide(run_row(), orders, results(result(1)), NOW)
    assert [dispatch.after.order_num for dispatch in succeeded.dispatches] == ["0002"]


@pytest.mark.parametrize("status", [S.FAILED, S.TIMED_OUT])
def test_an_order_that_need_not_succeed_lets_its_dependents_go_on(status):
    plan = decide(
        run_row(), [open_row(1, must_succeed=False), order_row(2, after=[1])], results(result(1, status)), NOW
    )
    assert [dispatch.after.order_num for dispatch in plan.dispatches] == ["0002"]


def test_an_order_runs_only_if_what_its_condition_names_is_changed():
    orders = [open_row(1), order_row(2, after=[1], when=("0001",)), order_row(3, after=[2])]
    changed = decide(run_row(), orders, results(result(1, changed=True)), NOW)
    assert [dispatch.after.order_num for dispatch in changed.dispatches] == ["0002"]
    assert changed.orders[0].changed
    unchanged = decide(run_row(), orders, results(result(1)), NOW)
    assert states(unchanged) == {"0001": S.SUCCEEDED, "0002": S.SKIPPED, "0003": S.SKIPPED}
    reasons = [(order.not_needed, order.reason) for order in unchanged.orders[1:]]
    assert reasons == [(True, "order-1 is not changed, which `when` requires"), (True, "order-2 was not needed")]
    assert unchanged.finish.after.status is RunState.SUCCEEDED


def test_a_result_that_did_not_succeed_is_not_changed():
    assert not decide(run_row(), [open_row(1)], results(result(1, S.FAILED, changed=True)), NOW).orders[0].changed


def test_an_unknown_dependency_does_not_wait_for_ever():
    assert states(decide(run_row(), [order_row(2, after=[1])], {}, NOW)) == {"0002": S.SKIPPED}


def test_what_a_result_tells_stands_in_the_row():
    changes = Changes(operation=Operation.PLANNED, add=3)
    told = result(1, S.FAILED, exit_code=2, reason="why", changes=changes)
    ended = decide(run_row(), [open_row(1)], results(told), NOW).orders[0]
    assert (ended.exit_code, ended.reason, ended.changes) == (2, "why", changes)


def test_a_result_for_an_order_that_was_never_dispatched_changes_nothing():
    plan = decide(run_row(), [open_row(1), order_row(2, after=[1])], results(result(2)), NOW)
    assert states(plan)["0002"] is S.QUEUED


def test_an_ended_order_never_changes():
    plan = decide(run_row(), [order_row(1, status=S.FAILED, ended_at=START), open_row(2)], results(result(1)), NOW)
    assert plan.ends == ()


NEVER_STARTED = {
    "cancelled": ({"cancel_reason": "me"}, {}, {}),
    "the run's time is over": ({"deadline": NOW}, {}, {}),
    "refused by its group": ({}, {"group": "group:a#b"}, {"0001": Standing(Access.REFUSED, "superseded")}),
    "not repeated": ({}, {"attempt": 2, "attempts": 2, "stop_reason": "me"}, {}),
}


@pytest.mark.parametrize("name", NEVER_STARTED)
def test_an_order_that_was_queued_again_and_has_begun_is_left_to_its_worker(name):
    run, fields, standings = NEVER_STARTED[name]
    orders = [order_row(1, handed_over=1, **fields), order_row(2, after=[1])]
    gone = decide(run_row(**run), orders, {}, NOW, standings)
    assert (states(gone)["0001"], gone.adopts) == (S.CANCELLED, ())
    assert gone.finish is not None
    held = decide(run_row(**run), orders, {}, NOW, standings, frozenset({"0001"}))
    (adopt,) = held.adopts
    assert (adopt.before, adopt.after.status, adopt.after.dispatched_at) == (orders[0], S.DISPATCHING, NOW)
    assert adopt.after.order_deadline is not None
    assert states(held)["0001"] is S.DISPATCHING
    assert held.dispatches == ()
    assert held.finish is None
    assert not may_release_early(held)


def test_no_more_than_max_parallel_are_open():
    orders = [open_row(1), *(order_row(number) for number in range(2, 9))]
    plan = decide(run_row(max_parallel=3), orders, {}, NOW)
    assert len(plan.dispatches) == 2


def test_a_stale_dispatch_is_sent_again_and_a_fresh_one_is_not():
    orders = [open_row(1, S.DISPATCHING), open_row(2, S.DISPATCHING, NOW)]
    plan = decide(run_row(), orders, {}, START + timedelta(seconds=31))
    assert [(dispatch.after.order_num, dispatch.again) for dispatch in plan.dispatches] == [("0001", True)]
    assert plan.dispatches[0].after.order_deadline == orders[0].order_deadline


def test_the_runs_deadline_cuts_an_orders_time():
    run = run_row(deadline=NOW + timedelta(seconds=20))
    (dispatch,) = decide(run, [order_row(1, timeout=60)], {}, NOW).dispatches
    assert dispatch.timeout == 20
    assert dispatch.after.order_deadline == run.deadline


def test_a_wait_for_a_worker_is_not_taken_from_an_orders_time():
    run = run_row(deadline=NOW + timedelta(hours=20))
    (dispatch,) = decide(run, [order_row(1, timeout=60)], {}, NOW).dispatches
    assert dispatch.timeout == 60
    assert dispatch.after.order_deadline == NOW + timedelta(hours=6, seconds=60)


def test_past_the_deadline_nothing_starts_and_the_run_timed_out():
    run = run_row(deadline=NOW)
    plan = decide(run, [order_row(1), order_row(2, status=S.SUCCEEDED)], {}, NOW)
    assert states(plan)["0001"] is S.CANCELLED
    assert plan.finish.after.status is RunState.TIMED_OUT


def test_no_time_ends_an_order_that_a_worker_may_be_running():
    order = open_row(1)
    plan = decide(run_row(deadline=order.order_deadline), [order], {}, order.order_deadline + timedelta(days=1))
    assert (plan.ends, plan.finish) == ((), None)


def test_a_run_that_could_not_be_prepared_fails_and_says_why():
    plan = decide(run_row(status=RunState.QUEUED, preparation_error="no such secret"), [order_row(1)], {}, NOW)
    assert states(plan) == {"0001": S.CANCELLED}
    assert "no such secret" in plan.ends[0].after.reason
    assert (plan.finish.after.status, plan.finish.after.reason) == (RunState.FAILED, "no such secret")


def test_cancelling_stops_what_is_queued_and_never_what_runs():
    plan = decide(run_row(cancel_reason="not wanted"), [open_row(1), order_row(2)], {}, NOW)
    assert states(plan) == {"0001": S.RUNNING, "0002": S.CANCELLED}
    after = decide(run_row(cancel_reason="not wanted"), plan.orders, results(result(1)), NOW)
    assert after.finish.after.status is RunState.CANCELLED


def ended(num, status, seconds=0, **fields):
    return order_row(num, status=status, dispatched_at=START, ended_at=START + timedelta(seconds=seconds), **fields)


def optional(num, status, seconds=0, **fields):
    return ended(num, status, seconds, must_succeed=False, **fields)


def skipped(num, **fields):
    return order_row(num, status=S.SKIPPED, ended_at=NOW, **fields)


@pytest.mark.parametrize(
    ("orders", "status"),
    [
        ([ended(1, S.SUCCEEDED)], RunState.SUCCEEDED),
        ([ended(1, S.FAILED, must_succeed=False)], RunState.SUCCEEDED),
        ([ended(1, S.FAILED, 5), ended(2, S.TIMED_OUT, 4)], RunState.TIMED_OUT),
        ([ended(1, S.TIMED_OUT, 5), ended(2, S.FAILED, 5)], RunState.FAILED),
        ([ended(1, S.CANCELLED, 5), ended(2, S.FAILED, 6)], RunState.CANCELLED),
        ([ended(1, S.FAILED, 5), ended(2, S.SKIPPED, 1)], RunState.FAILED),
        # A must-succeed order that was skipped did not succeed, although what it depends on need not succeed.
        ([optional(1, S.CANCELLED), skipped(2, after=[1])], RunState.CANCELLED),
        ([optional(1, S.FAILED), skipped(2, after=[1], when=("0001",))], RunState.FAILED),
        ([optional(1, S.CANCELLED), optional(2, S.SKIPPED, after=[1]), skipped(3, after=[2])], RunState.CANCELLED),
        # The failure that lets its dependents go on is not why one of them was skipped.
        ([optional(1, S.FAILED, 1), optional(2, S.CANCELLED, 5), skipped(3, after=[1, 2])], RunState.CANCELLED),
        ([optional(1, S.CANCELLED)], RunState.SUCCEEDED),
        ([optional(1, S.CANCELLED), skipped(2, after=[1], must_succeed=False)], RunState.SUCCEEDED),
        ([ended(1, S.SUCCEEDED), skipped(2, after=[1], when=("0001",), not_needed=True)], RunState.SUCCEEDED),
    ],
)
def test_the_first_cause_decides_how_a_run_ended(orders, status):
    assert outcome(run_row(), orders)[0] is status


def test_a_run_that_ended_already_only_finishes_its_finish():
    run = run_row(status=RunState.SUCCEEDED, finished_at=NOW)
    plan = decide(run, [order_row(1, status=S.SUCCEEDED)], {}, NOW)
    assert plan.finish.before == plan.finish.after == run
    assert not plan.dispatches


GRAPHS = st.integers(1, 14).flatmap(
    lambda size: st.lists(
        st.tuples(st.sets(st.integers(1, size)), st.booleans(), st.sampled_from([S.SUCCEEDED, S.FAILED, S.TIMED_OUT])),
        min_size=size,
        max_size=size,
    )
)


@settings(max_examples=200, deadline=None)
@given(GRAPHS, st.integers(1, 4))
def test_every_graph_ends_and_nothing_starts_before_its_time(graph, parallel):
    orders = tuple(
        order_row(index + 1, after=[number for number in sorted(after) if number <= index], must_succeed=must)
        for index, (after, must, _) in enumerate(graph)
    )
    fate = {f"{index + 1:04d}": status for index, (_, _, status) in enumerate(graph)}
    run = run_row(max_parallel=parallel)
    started: list[str] = []
    for _ in range(2 * len(orders) + 2):
        found = results(*(result(int(row.order_num), fate[row.order_num]) for row in orders if row.status in OPEN))
        before = {row.order_num: row for row in decide(run, orders, found, NOW).orders}
        plan = decide(run, orders, found, NOW)
        for dispatch in plan.dispatches:
            assert readiness(dispatch.before, before)[0] is Readiness.READY
            started.append(dispatch.after.order_num)
        orders = plan.orders
        assert sum(row.status in OPEN for row in orders) <= parallel
        if plan.finish is not None:
            break
    assert plan.finish is not None
    assert all(row.status in TERMINAL for row in orders)
    assert len(started) == len(set(started))


H = Standing(Access.HOLDS)


def waits(text="run 1, first in line"):
    return Standing(Access.WAITS, text)


@pytest.mark.parametrize(
    ("slots", "orders", "standings", "dispatched", "asking", "waiting"),
    [
        # Who needs a group asks first; who needs none starts.
        (9, [(1, {"group": "g"}), (2, {})], {}, [2], [1], {}),
        (9, [(1, {"group": "g"}), (2, {})], {1: H}, [1, 2], [], {}),
        (9, [(1, {"group": "g"}), (2, {})], {1: waits()}, [2], [], {1: "run 1, first in line"}),
        # Who waits has no slot; no more ask than there are slots, besides those that waited before.
        (1, [(1, {"group": "g"}), (2, {"group": "g"}), (3, {"group": "g"})], {}, [], [1], {}),
        (1, [(1, {"group": "g", "waiting_for": "x"}), (2, {"group": "g"}), (3, {"group": "g"})], {}, [], [1, 2], {}),
        (1, [(1, {"group": "g"}), (2, {"group": "g"})], {1: waits()}, [], [2], {1: "run 1, first in line"}),
        # Of two that hold their groups one starts in one slot, and the other waits for a slot only.
        (1, [(1, {"group": "g"}), (2, {"group": "h", "waiting_for": "x"})], {1: H, 2: H}, [1], [], {2: None}),
        (9, [(1, {"group": "g", "waiting_for": "run 1, first in line"})], {1: waits()}, [], [], {}),
    ],
)
def test_ready_orders_start_when_they_hold_their_groups(slots, orders, standings, dispatched, asking, waiting):
    rows = [order_row(num, **fields) for num, fields in orders]
    found = {f"{num:04d}": standing for num, standing in standings.items()}
    plan = decide(run_row(max_parallel=slots), rows, {}, NOW, found)
    assert [int(one.after.order_num) for one in plan.dispatches] == dispatched
    assert [int(one.order_num) for one in plan.asks] == asking
    assert {int(one.after.order_num): one.after.waiting_for for one in plan.waits} == waiting
    assert all(one.after.waiting_for is None for one in plan.dispatches)


def test_an_order_that_its_group_refuses_ends_with_its_dependents():
    rows = [order_row(1, group="g"), order_row(2, after=[1])]
    plan = decide(run_row(), rows, {}, NOW, {"0001": Standing(Access.REFUSED, "superseded by run 2")})
    assert states(plan) == {"0001": S.CANCELLED, "0002": S.SKIPPED}
    assert plan.orders[0].reason == "superseded by run 2"
    assert plan.finish.after.status is RunState.CANCELLED


def test_a_run_that_ends_asks_for_nothing():
    rows = [order_row(1, group="g", waiting_for="run 1, first in line")]
    plan = decide(run_row(cancel_reason="a person asked"), rows, {}, NOW)
    assert (plan.asks, plan.orders[0].status, plan.orders[0].waiting_for) == ((), S.CANCELLED, None)
