from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import pytest

from iac_ci_common import keys, limits
from iac_ci_common.errors import PortFailed, Throttled, UrlExpired
from iac_ci_common.models.result import Claim, Reporter, Result
from iac_ci_common.models.rows import ReportTarget
from iac_ci_common.models.work import BuildOrder
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import RUN_ID, TRACE_ID
from iac_ci_common.tickets import digest
from iac_ci_orchestrator.act import _named
from iac_ci_orchestrator.s3_events import wake_ups

sys.path.insert(0, str(Path(__file__).parent))
from engine import Engine

CHAIN = [{}, {"dependencies": ["order-0001"]}, {"dependencies": ["order-0002"]}]


class Crash(BaseException):
    """The process dies here."""


def crash_at(number):
    left = [number]

    def hook(name):
        left[0] -= 1
        if left[0] == 0:
            raise Crash(name)

    return hook


def test_a_chain_runs_to_its_end():
    engine = Engine(CHAIN)
    engine.run_to_the_end()
    engine.assert_ended_well()
    kinds = [(event.order_num, event.kind) for event in engine.runs.events(TRACE_ID) if event.order_num == "0001"]
    assert kinds == [("0001", "queued"), ("0001", "succeeded")]
    assert engine.watchdogs.started == [(RUN_ID, 1)]


@pytest.mark.parametrize("target", ["lambda", "codebuild"])
def test_no_worker_starts_before_the_watchdog_runs(target):
    order = []
    engine = Engine([{"execution_target": target, "timeout": 60}] * 3, after=order.append)
    engine.wake()
    started = [name for name in order if name.startswith(("watchdogs.", "workers.start"))]
    assert started[0] == "watchdogs.start"
    assert len(started) == 4


def test_a_watchdog_that_ended_before_its_run_gets_a_successor():
    engine = Engine(CHAIN)
    engine.wake()
    engine.watchdogs.ended.add((RUN_ID, 1))
    engine.run_to_the_end()
    engine.assert_ended_well()
    assert engine.watchdogs.started == [(RUN_ID, 1), (RUN_ID, 2)]
    assert engine.runs.read(RUN_ID).run.watchdog == 2
    # The number is known then: the ended one is not asked for again.
    assert engine.calls["watchdogs.is_running"] == 1


def test_of_two_passes_that_find_the_watchdog_ended_both_start_the_same():
    engine = Engine([{}, {}])
    engine.watchdogs.start(RUN_ID, 1)
    engine.watchdogs.ended.add((RUN_ID, 1))
    run = engine.runs.read(RUN_ID).run
    for _ in range(2):
        # Both have read the run's row before either has written the next number.
        engine.orchestrator._dispatcher.ensure_watchdog(run)
    assert engine.watchdogs.started == [(RUN_ID, 1), (RUN_ID, 2)]
    assert engine.runs.read(RUN_ID).run.watchdog == 2


def test_a_pass_that_died_after_it_counted_is_completed_by_the_next():
    engine = Engine([{}])
    engine.watchdogs.start(RUN_ID, 1)
    engine.watchdogs.ended.add((RUN_ID, 1))
    engine.runs.next_watchdog(RUN_ID, 1)
    engine.wake()
    assert engine.watchdogs.started == [(RUN_ID, 1), (RUN_ID, 2)]


def test_a_name_that_is_taken_by_a_running_watchdog_is_no_reason_for_another():
    engine = Engine([{}])
    engine.watchdogs.start = lambda run_id, number: False  # as some emulators answer
    engine.watchdogs.started.append((RUN_ID, 1))
    engine.wake()
    assert engine.handed_out() == ["0001"]
    assert engine.runs.read(RUN_ID).run.watchdog == 1


@pytest.mark.parametrize(("error", "state"), [(Throttled("wait"), "dispatching"), (PortFailed("no"), "failed")])
def test_without_a_watchdog_no_worker_starts(error, state):
    def refuse(name):
        if name == "watchdogs.start":
            raise error

    engine = Engine([{}, {}], before=refuse)
    with contextlib.suppress(Throttled):
        engine.wake()
        engine.wake("0001", "0002")
    assert engine.handed_out() == []
    assert set(engine.states.values()) == {state}


def test_a_worker_that_does_not_report_is_not_ended_by_the_orchestrator():
    engine = Engine([{}])
    engine.wake()
    engine.clock.advance(24 * 3600)
    engine.wake()
    assert engine.states == {"0001": "dispatching"}
    assert not engine.objects.exists(keys.claim(RUN_ID, "0001"))


@pytest.mark.parametrize(
    "field",
    [
        {"ended_at": "9999-12-31T23:59:59-12:00"},
        {"started_at": "0001-01-01T00:00:00+12:00"},
        {"exit_code": 10**40},
    ],
)
def test_a_number_that_no_machine_has_fails_its_order_and_not_every_pass(field):
    engine = Engine([{}])
    engine.wake()
    result = {"run_id": RUN_ID, "order_num": "0001", "status": "failed", "reported_by": "worker"}
    body = json.dumps(result | {"ended_at": "2026-01-01T00:00:10Z", "exit_code": 1} | field)
    engine.objects.create(keys.result(RUN_ID, "0001"), body.encode())
    engine.wake("0001")
    assert engine.runs.find_order(RUN_ID, "0001").reason == "the worker's result is not valid: 1 problems"
    engine.assert_ended_well()


def test_an_event_during_a_pass_is_not_lost():
    engine = Engine([{}, {}])
    engine.wake()
    nums = engine.handed_out()
    reported = []

    def during(name):
        # Another worker reports while the pass runs; its event finds the lock held and goes.
        if name == "runs.apply" and not reported:
            reported.append(name)
            engine.report(nums[1])
            engine.orchestrator.wake(RUN_ID, frozenset({nums[1]}))

    engine.orchestrator._ports.runs._before = during
    engine.report(nums[0])
    engine.wake(nums[0])
    assert reported
    engine.assert_ended_well()


def test_a_dead_holders_lease_ends_in_seconds():
    engine = Engine([{}])
    now = engine.clock.now()
    engine.locks.take(RUN_ID, owner="dead", now=now, lease_seconds=30, expires_at=now)
    engine.wake()
    assert engine.handed_out() == []
    engine.clock.advance(31)
    engine.wake()
    assert engine.handed_out() == ["0001"]


@pytest.mark.parametrize("where", ["before", "after"])
def test_whatever_call_it_dies_at_the_next_passes_bring_the_run_to_its_end(where):
    number = 0
    while True:
        number += 1
        engine = Engine(CHAIN, **{where: crash_at(number)})
        crashed = False
        started: list[str] = []
        for _ in range(30):
            try:
                engine.wake()
            except Crash:
                crashed = True
            for num in dict.fromkeys(engine.handed_out()):
                # The claim: a second worker for the same order leaves without a word.
                if num not in started:
                    started.append(num)
                    engine.report(num)
            engine.clock.advance(35)
            lock = engine.locks.read(RUN_ID)
            if lock is not None and lock.completed:
                break
        engine.assert_ended_well()
        assert started == ["0001", "0002", "0003"]
        if not crashed:
            assert number > 20
            return


def test_a_malformed_or_oversized_result_ends_its_own_order_only():
    for content in (b"", b"{", b'{"status": "running"}', b"x" * (2 * 1024 * 1024)):
        engine = Engine([{"must_succeed": False}, {}])
        engine.wake()
        engine.objects.put(keys.result(RUN_ID, "0001"), content)
        engine.report("0002")
        engine.wake()
        assert engine.states == {"0001": "failed", "0002": "succeeded"}
        engine.assert_ended_well()


@pytest.mark.parametrize("stored", [True, False])
def test_the_parts_of_a_log_go_when_the_whole_log_is_stored(stored):
    """What a worker sent before it lost its log is all that is left of it."""
    engine = Engine([{}])
    engine.wake()
    parts = [keys.live_part(RUN_ID, "0001", number) for number in range(3)]
    for key in (*parts, keys.live_part(RUN_ID, "0002", 0)):
        engine.objects.put(key, b"part")
    result = Result(
        run_id=RUN_ID, order_num="0001", status=OrderState.SUCCEEDED, reported_by=Reporter.WORKER,
        ended_at=engine.clock.now(), log_stored=stored, live_parts=3,
    )  # fmt: skip
    engine.objects.put(keys.result(RUN_ID, "0001"), result.model_dump_json().encode())
    engine.wake()
    assert engine.objects.list(keys.live_parts(RUN_ID, "0001")) == ([] if stored else parts)
    assert engine.objects.exists(keys.live_part(RUN_ID, "0002", 0))
    engine.assert_ended_well()


def test_another_orders_result_is_not_believed():
    engine = Engine([{}, {}])
    engine.wake()
    engine.report("0002")
    engine.objects.put(keys.result(RUN_ID, "0001"), engine.objects.get(keys.result(RUN_ID, "0002")))
    engine.wake()
    assert engine.states["0001"] == "failed"


def test_a_dispatch_that_another_try_may_mend_is_tried_again():
    engine = Engine([{}])
    failing = [Throttled("slow down")] * 2

    def throttle(name):
        if name == "workers.start_lambda" and failing:
            raise failing.pop()

    engine.orchestrator._ports.workers._before = throttle
    engine.orchestrator._dispatcher._workers._before = throttle
    with pytest.raises(Throttled):
        engine.wake()
    assert engine.states == {"0001": "dispatching"}
    engine.clock.advance(31)
    engine.wake()
    assert engine.handed_out() == ["0001"]
    assert engine.states == {"0001": "running"}


def test_a_dispatch_that_cannot_be_mended_ends_the_order_and_forbids_it_to_start():
    engine = Engine([{}])

    def refuse(name):
        if name == "workers.start_lambda":
            raise PortFailed("there is no such function")

    engine.orchestrator._dispatcher._workers._before = refuse
    engine.wake()
    # The event of its result.
    engine.wake("0001")
    assert engine.states == {"0001": "failed"}
    assert engine.objects.exists(keys.claim(RUN_ID, "0001"))
    engine.assert_ended_well()


@pytest.mark.parametrize(
    ("claimed_by", "state"),
    [(Reporter.WORKER, "dispatching"), (Reporter.ORCHESTRATOR, "failed"), (Reporter.WATCHDOG, "failed")],
)
def test_a_refused_dispatch_ends_no_order_that_a_worker_has(claimed_by, state):
    engine = Engine([{}])
    claim = Claim(run_id=RUN_ID, order_num="0001", claimed_by=claimed_by, claimed_at=engine.clock.now())
    engine.objects.create(keys.claim(RUN_ID, "0001"), claim.model_dump_json().encode())

    def refuse(name):
        if name == "workers.start_lambda":
            raise PortFailed("there is no such function")

    engine.orchestrator._dispatcher._workers._before = refuse
    engine.wake()
    engine.wake("0001")
    assert engine.states == {"0001": state}
    assert engine.objects.exists(keys.result(RUN_ID, "0001")) is (state == "failed")
    if state == "dispatching":
        engine.report("0001")
        engine.wake("0001")
        assert engine.states == {"0001": "succeeded"}
    engine.assert_ended_well()


def test_a_comment_that_fails_is_told_and_fails_nothing():
    engine = Engine([{}], git_repo="https://example.com/a/b", commit_hash="a" * 40, pr_number=1)

    def refuse(name):
        if name == "reports.publish":
            raise PortFailed("the host is down")

    engine.orchestrator._ports.reports._before = refuse
    engine.run_to_the_end()
    engine.assert_ended_well()
    assert "comment_failed" in [event.kind for event in engine.runs.events(TRACE_ID)]


def test_the_last_comment_tells_the_end():
    engine = Engine([{}], git_repo="https://example.com/a/b", commit_hash="a" * 40, pr_number=1)
    assert isinstance(engine.runs.read(RUN_ID).run.report, ReportTarget)
    engine.run_to_the_end()
    assert "succeeded" in engine.reports.bodies[RUN_ID]


def test_a_run_that_is_not_prepared_is_left_alone():
    engine = Engine([{}])
    run = engine.runs.run_rows.pop(RUN_ID)
    engine.wake()
    assert engine.handed_out() == []
    engine.runs.run_rows[RUN_ID] = run
    engine.wake()
    assert engine.handed_out() == ["0001"]


def test_events_after_the_end_change_nothing():
    engine = Engine([{}])
    engine.run_to_the_end()
    before = (engine.marker, engine.runs.read(RUN_ID), len(engine.runs.event_rows))
    engine.wake("0001")
    engine.wake()
    assert (engine.marker, engine.runs.read(RUN_ID), len(engine.runs.event_rows)) == before


def test_codebuild_orders_are_built():
    engine = Engine([{"execution_target": "codebuild", "timeout": 60}])
    engine.wake()
    row = engine.runs.read(RUN_ID).orders[0]
    assert row.build_id in engine.workers.builds
    engine.clock.advance(3600 + 61)
    engine.wake()
    # Only the watchdog stops it, and waits for its end.
    assert engine.states == {"0001": "running"}
    assert engine.workers.stopped == []


def test_an_order_with_a_size_is_built_on_its_machine():
    engine = Engine([{"size": "large"}, {"execution_target": "codebuild"}])
    engine.wake()
    builds = {row.order_num: row.build_id for row in engine.runs.read(RUN_ID).orders}
    assert engine.workers.compute_types == {builds["0001"]: "BUILD_GENERAL1_LARGE", builds["0002"]: None}


def test_a_worker_is_invoked_with_urls_of_minutes_wherever_its_order_waited():
    engine = Engine([{"timeout": 500}])
    engine.clock.advance(3100)
    engine.wake()
    (work,) = engine.workers.lambda_works
    # Never beyond the last moment at which the order may report.
    engine.clock.advance(500 + limits.DEFAULT_STOP_GRACE_SECONDS + 60)
    engine.objects.use_url(work.urls.result, b"{}")
    engine.clock.advance(1)
    with pytest.raises(UrlExpired):
        engine.objects.use_url(work.urls.log, b"{}")


def test_presign_expiry_caps_the_life_of_the_first_urls():
    engine = Engine([{}], presign_expiry=60)
    engine.wake()
    (work,) = engine.workers.lambda_works
    engine.clock.advance(61)
    with pytest.raises(UrlExpired):
        engine.objects.use_url(work.urls.claim, b"{}")


@pytest.mark.parametrize("target", ["lambda", "codebuild"])
def test_each_dispatch_has_a_ticket_of_which_the_row_holds_the_digest_only(target):
    engine = Engine([{"execution_target": target}])
    engine.wake()
    (sent,) = engine.workers.lambda_works or engine.workers.builds.values()
    (row,) = engine.runs.read(RUN_ID).orders
    assert row.first_ticket(sent.dispatch) == digest(sent.ticket)
    assert sent.ticket not in row.model_dump_json()
    assert sent.ticket not in repr(sent)


def test_a_repeated_dispatch_has_another_ticket_and_the_row_keeps_the_last_sixteen():
    def busy(name):
        if name == "workers.start_lambda":
            raise Throttled("busy")

    engine = Engine([{}], before=busy)
    tickets = []
    for _ in range(limits.MAX_TICKETS + 3):
        with pytest.raises(Throttled):
            engine.wake()
        engine.clock.advance(limits.LEASE_SECONDS + 1)
        (row,) = engine.runs.read(RUN_ID).orders
        tickets.append(row.tickets[-1])
    assert len(set(tickets)) == len(tickets)
    assert row.tickets == tuple(tickets[-limits.MAX_TICKETS :])
    assert row.first_ticket(row.dispatch) is not None


def test_the_variables_of_a_build_are_short():
    engine = Engine([{"execution_target": "codebuild"}])
    engine.wake()
    (build,) = engine.workers.builds.values()
    assert sum(len(name) + len(value) for name, value in build.variables().items()) < 300
    assert BuildOrder.from_variables(build.variables()) == build


def test_a_wide_run_costs_few_calls_of_the_orchestrator():
    engine = Engine([{} for _ in range(100)])
    engine.run_to_the_end(one_by_one=False)
    engine.assert_ended_well()
    calls = sum(count for name, count in engine.calls.items() if ".presign" not in name)
    # Per order: start the worker, read the result; everything else is for all together.
    assert calls <= 2 * 100 + 20, engine.calls
    assert engine.calls["watchdogs.start"] == 1
    assert engine.calls["watchdogs.is_running"] == 0


def test_a_chain_costs_the_same_for_each_order_however_long():
    def calls(length):
        engine = Engine([{"dependencies": [f"order-{number:04d}"] if number else []} for number in range(length)])
        engine.run_to_the_end()
        return sum(count for name, count in engine.calls.items() if ".presign" not in name)

    assert calls(50) - calls(40) == calls(20) - calls(10) <= 8 * 10


def test_events_may_carry_several_records_and_encoded_keys():
    keys_of = [keys.result(RUN_ID, "0001"), keys.result(RUN_ID, "0002").replace("-", "%2D"), keys.claim(RUN_ID, "0001")]
    event = {"Records": [{"s3": {"object": {"key": key}}} for key in keys_of]}
    assert wake_ups(event) == {RUN_ID: frozenset({"0001", "0002"})}
    assert wake_ups({"Service": "Amazon S3", "Event": "s3:TestEvent"}) == {}


def test_results_of_two_attempts_are_two_events():
    results = [keys.result(RUN_ID, "0001"), keys.result(RUN_ID, "0001", 2), keys.result(RUN_ID, "0002", 12)]
    event = {"Records": [{"s3": {"object": {"key": key}}} for key in results]}
    assert wake_ups(event) == {RUN_ID: frozenset({"0001", "0001/2", "0002/12"})}
    assert _named(frozenset({"0001/2", "0002/12", "0003"})) == {"0001", "0002", "0003"}
    assert _named(frozenset({"0001/2", "all-x"})) is None


def test_a_result_of_success_is_not_taken_twice():
    engine = Engine([{}, {"dependencies": ["order-0001"]}])
    engine.wake()
    engine.report("0001")
    engine.wake("0001")
    engine.wake("0001")
    assert engine.handed_out() == ["0001", "0002"]
    assert engine.runs.read(RUN_ID).orders[0].status is OrderState.SUCCEEDED


@pytest.mark.parametrize("status", [OrderState.FAILED, OrderState.SUCCEEDED])
def test_what_follows_from_an_end_that_is_refused_is_not_written_either(status):
    """Another invocation, which has lost its lease too, has changed the row meanwhile: nothing has ended yet."""
    seen = []

    def meddle(name):
        if name == "runs.read" and engine.calls["runs.apply"] > sent:
            seen.append(engine.states["0002"])
        if name == "runs.apply" and engine.calls["runs.apply"] == sent + 1:
            order = engine.runs.order_rows[RUN_ID]["0001"]
            engine.runs.order_rows[RUN_ID]["0001"] = order.model_copy(update={"dispatched_at": engine.clock.now()})

    # The third order still runs, so that the lock is not released before the second one's worker is started.
    engine = Engine([{}, {"dependencies": ["order-0001"]}, {}], before=meddle)
    sent = 10
    engine.wake()
    engine.clock.advance(1)
    engine.report("0001", status=status)
    sent = engine.calls["runs.apply"]
    engine.wake("0001")
    assert seen == ["queued"]
    second = "skipped" if status is OrderState.FAILED else "running"
    assert engine.states == {"0001": status, "0002": second, "0003": "dispatching"}
