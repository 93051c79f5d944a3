from __future__ import annotations

import os
from datetime import timedelta

import pytest

from iac_ci_common.errors import ConditionFailed, IllegalTransition, NotFound
from iac_ci_common.ids import DRIFT_EVENT_NAME
from iac_ci_common.models.approval import ApprovalAnswer
from iac_ci_common.models.changes import Changes, Operation
from iac_ci_common.models.event import DRIFT, Event, FoundProject
from iac_ci_common.ports import RunRows, Transition
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing.samples import RUN_ID, START, TRACE_ID, queued


def moved(row, status, **fields):
    return row.model_copy(update={"status": status, **fields})


def event(order, kind, seconds=1):
    return Event(
        trace_id=TRACE_ID,
        run_id=RUN_ID,
        order_num=order.order_num,
        order_name=order.order_name,
        kind=kind,
        at=START + timedelta(seconds=seconds),
        expires_at=START + timedelta(days=90),
    )


def test_a_run_is_read_as_it_was_inserted(adapters):
    rows = queued(
        [{}, {"dependencies": ["order-0001"]}], pr_number=7, git_repo="https://example.com/a/b", commit_hash="a" * 40
    )
    assert adapters.runs.insert(*rows)
    read = adapters.runs.read(RUN_ID)
    assert read.run == rows.run
    assert read.orders == rows.orders


def test_a_run_that_was_never_inserted_is_not_there(adapters):
    assert adapters.runs.read(RUN_ID).run is None


def test_one_row_is_found_without_the_others(adapters):
    rows = queued([{}, {}])
    adapters.runs.insert(*rows)
    assert adapters.runs.find_run(RUN_ID) == rows.run
    assert adapters.runs.find_order(RUN_ID, "0002") == rows.orders[1]
    assert adapters.runs.find_order(RUN_ID, "0003") is None


def test_some_rows_are_read_without_the_others(adapters):
    rows = queued([{}, {}, {}])
    adapters.runs.insert(*rows)
    assert adapters.runs.read_some(RUN_ID, {"0003", "0001"}) == RunRows(None, (rows.orders[0], rows.orders[2]))
    assert adapters.runs.read_some(RUN_ID, {"0000", "0002"}) == RunRows(rows.run, (rows.orders[1],))
    assert adapters.runs.read_some(RUN_ID, {"0004"}) == RunRows(None, ())


def test_a_hundred_rows_are_read_at_once(adapters):
    rows = queued([{}] * 100)
    adapters.runs.insert(*rows)
    assert adapters.runs.read_some(RUN_ID, {order.order_num for order in rows.orders}) == RunRows(None, rows.orders)


def test_a_row_of_a_run_that_was_never_inserted_is_not_found(adapters):
    assert adapters.runs.find_run(RUN_ID) is None
    assert adapters.runs.find_order(RUN_ID, "0001") is None


def test_of_two_that_replace_a_watchdog_both_get_the_same_number(adapters):
    adapters.runs.insert(*queued([{}]))
    assert adapters.runs.find_run(RUN_ID).watchdog == 1
    assert [adapters.runs.next_watchdog(RUN_ID, 1) for _ in range(2)] == [2, 2]
    assert adapters.runs.find_run(RUN_ID).watchdog == 2
    assert adapters.runs.next_watchdog(RUN_ID, 2) == 3
    assert adapters.runs.next_watchdog(RUN_ID, 1) == 3


def test_a_transition_of_a_run_keeps_the_number_of_its_watchdog(adapters):
    adapters.runs.insert(*queued([{}]))
    before = adapters.runs.find_run(RUN_ID)
    adapters.runs.next_watchdog(RUN_ID, 1)
    assert adapters.runs.apply([Transition(before, moved(before, RunState.RUNNING))]) == ()
    after = adapters.runs.find_run(RUN_ID)
    assert (after.status, after.watchdog) == (RunState.RUNNING, 2)


def test_the_watchdog_of_a_run_without_rows_is_counted_by_the_caller(adapters):
    assert adapters.runs.next_watchdog(RUN_ID, 1) == 2
    assert adapters.runs.read(RUN_ID).run is None


def test_the_tickets_of_an_order_are_written_with_its_dispatch(adapters):
    (order,) = queued([{}]).orders
    adapters.runs.insert(queued([{}]).run, [order], [])
    tickets = (f"1767225600000:{'a' * 64}", f"1767225630000:{'b' * 64}")
    sent = moved(order, OrderState.DISPATCHING, dispatched_at=START, tickets=tickets)
    assert adapters.runs.apply([Transition(order, sent)]) == ()
    read = adapters.runs.find_order(RUN_ID, "0001")
    assert read == sent
    assert read.first_ticket("1767225630000") == "b" * 64
    assert read.first_ticket("1767225660000") is None
    assert read.dispatch == "1767225600000"


def test_a_second_insert_changes_nothing(adapters):
    rows = queued([{}, {}])
    adapters.runs.insert(*rows)
    first = adapters.runs.read(RUN_ID).orders[0]
    adapters.runs.apply([Transition(first, moved(first, OrderState.DISPATCHING, dispatched_at=START))])
    before = adapters.runs.read(RUN_ID)
    assert not adapters.runs.insert(*rows)
    assert adapters.runs.read(RUN_ID) == before


@pytest.mark.slow
def test_many_orders_are_inserted_and_read(adapters):
    """More in a full run; moto copies its tables for each transaction."""
    count = 600 if os.environ.get("IAC_CI_FULL") else 300
    rows = queued([{} for _ in range(count)])
    adapters.runs.insert(*rows)
    assert adapters.runs.read(RUN_ID).orders == rows.orders
    assert len(adapters.runs.events(TRACE_ID)) == count + 1


def test_moves_are_applied_and_those_that_no_longer_fit_are_returned(adapters):
    rows = queued([{} for _ in range(5)])
    adapters.runs.insert(*rows)
    transitions = [
        Transition(order, moved(order, OrderState.SKIPPED), event(order, "skipped")) for order in rows.orders
    ]
    assert adapters.runs.apply(transitions[1:3]) == ()
    assert set(adapters.runs.apply(transitions)) == set(transitions[1:3])
    assert {order.status for order in adapters.runs.read(RUN_ID).orders} == {OrderState.SKIPPED}


@pytest.mark.parametrize("count", [1, 120])
def test_what_must_not_be_cancelled_is_applied_until_a_request_to_cancel(adapters, count):
    rows = queued([{} for _ in range(count)])
    adapters.runs.insert(*rows)
    sent = [Transition(order, moved(order, OrderState.DISPATCHING, dispatched_at=START)) for order in rows.orders]
    assert adapters.runs.apply(sent, unless_cancelled=True) == ()
    adapters.runs.request_cancel(RUN_ID, "not needed")
    begun = [Transition(one.after, moved(one.after, OrderState.RUNNING)) for one in sent]
    before = adapters.runs.read(RUN_ID)
    assert set(adapters.runs.apply(begun, unless_cancelled=True)) == set(begun)
    assert adapters.runs.read(RUN_ID) == before
    assert adapters.runs.apply(begun) == ()


def test_with_the_condition_a_refused_move_stops_no_other(adapters):
    rows = queued([{}, {}])
    adapters.runs.insert(*rows)
    sent = [Transition(order, moved(order, OrderState.DISPATCHING, dispatched_at=START)) for order in rows.orders]
    adapters.runs.apply(sent[:1])
    assert adapters.runs.apply(sent, unless_cancelled=True) == (sent[0],)
    assert adapters.runs.find_order(RUN_ID, "0002").status is OrderState.DISPATCHING


@pytest.mark.parametrize(("count", "changed"), [(3, 0), (3, 1), (3, 2), (120, 0), (120, 119)])
def test_a_whole_plan_is_written_until_a_row_has_changed(adapters, count, changed):
    rows = queued([{} for _ in range(count)])
    adapters.runs.insert(*rows)
    sent = [Transition(order, moved(order, OrderState.DISPATCHING, dispatched_at=START)) for order in rows.orders]
    adapters.runs.apply([sent[changed]])
    refused = adapters.runs.apply(sent, whole=True)
    assert set(sent[changed:]) <= set(refused)
    written = {order.order_num for order in adapters.runs.read(RUN_ID).orders if order.status is not OrderState.QUEUED}
    assert written == {one.before.order_num for one in [*(set(sent) - set(refused)), sent[changed]]}
    rest = [one for one in sent if one.before.order_num not in written]
    assert adapters.runs.apply(rest, whole=True) == ()


def test_a_run_without_a_row_is_not_known_to_go_on(adapters):
    (order,) = queued([{}]).orders
    sent = Transition(order, moved(order, OrderState.DISPATCHING, dispatched_at=START))
    assert adapters.runs.apply([sent], unless_cancelled=True) == (sent,)


def test_the_changes_of_an_order_are_kept(adapters):
    rows = queued([{}])
    adapters.runs.insert(*rows)
    changes = Changes(operation=Operation.APPLIED, add=2, destroy=1)
    before = rows.orders[0]
    for status in (OrderState.DISPATCHING, OrderState.SUCCEEDED):
        after = moved(before, status).model_copy(update={"changes": changes})
        assert adapters.runs.apply([Transition(before, after, event(before, status.value))]) == ()
        before = after
    assert adapters.runs.read(RUN_ID).orders[0].changes == changes


def test_a_refused_move_writes_no_event(adapters):
    rows = queued([{}])
    adapters.runs.insert(*rows)
    order = rows.orders[0]
    adapters.runs.apply([Transition(order, moved(order, OrderState.SKIPPED), event(order, "skipped"))])
    late = Transition(order, moved(order, OrderState.CANCELLED), event(order, "cancelled", 2))
    assert adapters.runs.apply([late]) == (late,)
    assert [told.kind for told in adapters.runs.events(TRACE_ID)].count("cancelled") == 0


def test_an_illegal_move_writes_nothing(adapters):
    rows = queued([{}, {}])
    adapters.runs.insert(*rows)
    first, second = rows.orders
    with pytest.raises(IllegalTransition):
        adapters.runs.apply(
            [Transition(first, moved(first, OrderState.SKIPPED)), Transition(second, moved(second, OrderState.RUNNING))]
        )
    assert adapters.runs.read(RUN_ID).orders == rows.orders


def test_a_dispatch_is_renewed_once_by_one_of_two(adapters):
    rows = queued([{}])
    adapters.runs.insert(*rows)
    order = rows.orders[0]
    first = moved(order, OrderState.DISPATCHING, dispatched_at=START)
    adapters.runs.apply([Transition(order, first)])
    again = Transition(first, first.model_copy(update={"dispatched_at": START + timedelta(seconds=31)}))
    other = Transition(first, first.model_copy(update={"dispatched_at": START + timedelta(seconds=32)}))
    assert adapters.runs.apply([again]) == ()
    assert adapters.runs.apply([other]) == (other,)


def test_what_was_decided_before_an_order_was_queued_again_is_refused(adapters):
    """A process that stood still meanwhile believes that no worker has ever had the order."""
    rows = queued([{}])
    adapters.runs.insert(*rows)
    (first,) = rows.orders
    sent = moved(first, OrderState.DISPATCHING, dispatched_at=START)
    again = moved(first, OrderState.QUEUED, handed_over=1)
    late = Transition(first, moved(first, OrderState.CANCELLED))
    assert adapters.runs.apply([Transition(first, sent)]) == ()
    assert adapters.runs.apply([Transition(sent, again)]) == ()
    assert adapters.runs.apply([late]) == (late,)
    assert adapters.runs.apply([Transition(again, moved(again, OrderState.CANCELLED))]) == ()


def test_more_moves_with_events_than_a_transaction_has_room_for_go_through(adapters):
    rows = queued([{} for _ in range(60)])
    adapters.runs.insert(*rows)
    assert (
        adapters.runs.apply(
            [Transition(row, moved(row, OrderState.SKIPPED), event(row, "skipped")) for row in rows.orders]
        )
        == ()
    )
    assert len(adapters.runs.events(TRACE_ID)) == 121


def test_a_run_moves_and_keeps_a_request_to_cancel(adapters):
    rows = queued([{}])
    adapters.runs.insert(*rows)
    adapters.runs.request_cancel(RUN_ID, "not wanted")
    run = rows.run
    assert adapters.runs.apply([Transition(run, moved(run, RunState.RUNNING))]) == ()
    read = adapters.runs.read(RUN_ID).run
    assert (read.status, read.cancel_reason) == (RunState.RUNNING, "not wanted")


def test_only_an_open_run_can_be_cancelled_and_only_once(adapters):
    with pytest.raises(NotFound):
        adapters.runs.request_cancel(RUN_ID, "why")
    rows = queued([{}])
    adapters.runs.insert(*rows)
    adapters.runs.request_cancel(RUN_ID, "why")
    with pytest.raises(ConditionFailed):
        adapters.runs.request_cancel(RUN_ID, "again")
    # The client repeats a call whose answer was lost, and then meets its own request.
    adapters.runs.request_cancel(RUN_ID, "why")
    adapters.runs.apply([Transition(rows.run, moved(rows.run, RunState.CANCELLED))])
    with pytest.raises(ConditionFailed):
        adapters.runs.request_cancel(RUN_ID, "why")


def test_an_open_run_is_asked_to_stop_and_the_first_reason_stays(adapters):
    rows = queued([{}])
    with pytest.raises(NotFound):
        adapters.runs.request_stop(RUN_ID, "too early")
    adapters.runs.insert(*rows)
    adapters.runs.request_stop(RUN_ID, "wrong branch")
    adapters.runs.request_stop(RUN_ID, "again")
    assert adapters.runs.read(RUN_ID).run.stop_reason == "wrong branch"
    assert adapters.runs.read(RUN_ID).run.cancel_reason is None
    adapters.runs.apply([Transition(rows.run, moved(rows.run, RunState.FAILED))])
    with pytest.raises(ConditionFailed):
        adapters.runs.request_stop(RUN_ID, "too late")


def test_one_order_is_asked_to_stop_and_keeps_the_wish_through_its_transitions(adapters):
    rows = queued([{}, {}])
    with pytest.raises(NotFound):
        adapters.runs.request_stop(RUN_ID, "too early", order_num="0001")
    adapters.runs.insert(*rows)
    adapters.runs.request_stop(RUN_ID, "wrong branch", order_num="0001")
    first, second = adapters.runs.read(RUN_ID).orders
    assert (first.stop_reason, first.stop_soon, second.stop_reason) == ("wrong branch", False, None)
    adapters.runs.apply([Transition(rows.orders[0], moved(rows.orders[0], OrderState.DISPATCHING))])
    adapters.runs.request_stop(RUN_ID, "again", order_num="0001", soon=True)
    first = adapters.runs.find_order(RUN_ID, "0001")
    assert (first.status, first.stop_reason, first.stop_soon) == (OrderState.DISPATCHING, "wrong branch", True)
    adapters.runs.apply([Transition(first, moved(first, OrderState.SUCCEEDED))])
    with pytest.raises(ConditionFailed):
        adapters.runs.request_stop(RUN_ID, "too late", order_num="0001")


def test_events_come_in_the_order_of_time(adapters):
    rows = queued([{}])
    order = rows.orders[0]
    told = [event(order, "running", 2), event(order, "queued", 1), event(order, "succeeded", 3)]
    adapters.runs.record(told)
    assert [one.kind for one in adapters.runs.events(TRACE_ID)] == ["queued", "running", "succeeded"]
    assert adapters.runs.events(TRACE_ID)[0] == told[1]


def test_events_of_two_attempts_are_kept_both_where_clocks_made_them_the_same_moment(adapters):
    order = queued([{}]).orders[0]
    again = [event(order, "queued", 2).model_copy(update={"attempt": attempt}) for attempt in (2, 3)]
    adapters.runs.record(again)
    assert adapters.runs.events(TRACE_ID) == again


def test_a_run_is_followed_for_a_while(adapters):
    rows, until = queued([{}]), START + timedelta(minutes=3)
    with pytest.raises(NotFound):
        adapters.runs.follow(RUN_ID, until)
    adapters.runs.insert(*rows)
    adapters.runs.follow(RUN_ID, until)
    adapters.runs.follow(RUN_ID, until + timedelta(minutes=1))
    adapters.runs.follow(RUN_ID, until, output=False)
    found = adapters.runs.find_run(RUN_ID)
    assert (found.followed_until, found.waited_until) == (until + timedelta(minutes=1), until)
    adapters.runs.apply([Transition(rows.run, moved(rows.run, RunState.FAILED))])
    with pytest.raises(ConditionFailed):
        adapters.runs.follow(RUN_ID, until)


def test_what_a_queued_order_waits_for_is_written_by_one_of_two_and_stays_until_its_answer(adapters):
    asks = {"cmds": [], "timeout": 0, "approval": {"api": True, "by": ["ann"], "message": "Is it safe?"}}
    (row,) = queued([asks]).orders
    adapters.runs.insert(*queued([asks]))
    first = row.model_copy(update={"waiting_for": "approval of ann", "order_deadline": START})
    second = row.model_copy(update={"waiting_for": "approval of bob", "order_deadline": START})
    assert adapters.runs.apply([Transition(row, first, event(row, "waiting"))]) == ()
    assert adapters.runs.apply([Transition(row, second)]) == (Transition(row, second),)
    assert adapters.runs.find_order(RUN_ID, "0001") == first
    between = moved(first, OrderState.DISPATCHING, waiting_for=None)
    assert adapters.runs.apply([Transition(first, between)]) == ()
    given = ApprovalAnswer(approved=True, through="comment", by="ann", account="5", at=START)
    ended = moved(between, OrderState.SUCCEEDED, approval_answer=given)
    assert adapters.runs.apply([Transition(between, ended)]) == ()
    assert adapters.runs.find_order(RUN_ID, "0001") == ended


def test_events_of_a_name_are_listed_over_all_runs_the_newest_first(adapters):
    project = FoundProject(repository="https://github.com/acme/infra.git", name="live", key="a" * 64, issue=7)
    common = {"run_id": RUN_ID, "kind": DRIFT, "project": project, "expires_at": START + timedelta(days=90)}
    days = [
        Event(
            trace_id=f"{day:016x}",
            order_num="0001",
            order_name=DRIFT_EVENT_NAME,
            at=START + timedelta(days=day),
            **common,
        )
        for day in range(4)
    ]
    other = days[3].model_copy(update={"order_name": "live"})
    adapters.runs.record([*days, other])
    assert adapters.runs.events_named(DRIFT_EVENT_NAME, START + timedelta(days=2)) == [days[3], days[2]]


def test_events_of_two_projects_at_the_same_moment_are_both_kept(adapters):
    first = Event(
        trace_id=TRACE_ID,
        run_id=RUN_ID,
        order_num="0001",
        order_name=DRIFT_EVENT_NAME,
        kind=DRIFT,
        at=START,
        expires_at=START + timedelta(days=90),
    )
    second = first.model_copy(update={"order_num": "0002"})
    adapters.runs.record([first, second])
    adapters.runs.record([first])
    assert adapters.runs.events(TRACE_ID) == [first, second]
