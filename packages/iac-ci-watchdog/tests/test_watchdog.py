from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from iac_ci_common import keys
from iac_ci_common.models.lock import Lock
from iac_ci_common.models.result import Claim, Reporter, Result
from iac_ci_common.models.rows import ReportTarget
from iac_ci_common.models.watch import Watch
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing import (
    FakeClock,
    MemoryAsyncInvoker,
    MemoryLocks,
    MemoryLogger,
    MemoryObjects,
    MemoryRuns,
    MemoryWorkers,
)
from iac_ci_common.testing.samples import RUN_ID, START, order_row, queued, run_row, stored_job
from iac_ci_watchdog.act import Watchdog, WatchdogPorts
from iac_ci_watchdog.decide import Action, decide_order, decide_run, decide_unprepared, is_late
from iac_ci_watchdog.failures import PreparationDied, WorkerDied, parse_failure

S = OrderState
DEADLINE = START + timedelta(seconds=360)
LATE = DEADLINE + timedelta(seconds=61)


def open_row(status=S.RUNNING, **fields):
    return order_row(1, **({"status": status, "dispatched_at": START, "order_deadline": DEADLINE} | fields))


@pytest.mark.parametrize(
    ("order", "has_result", "build_ended", "now", "action"),
    [
        (None, False, False, START, Action.END),
        (order_row(1, status=S.SUCCEEDED), False, False, START, Action.END),
        (order_row(1, status=S.SKIPPED), False, False, START, Action.END),
        (open_row(), False, False, START, Action.WAIT),
        (open_row(), True, False, START, Action.NUDGE),
        (open_row(), True, True, LATE, Action.NUDGE),
        (open_row(), False, True, START, Action.REPORT_FAILED),
        (open_row(), False, False, DEADLINE, Action.WAIT),
        (open_row(), False, False, LATE, Action.REPORT_TIMED_OUT),
        (open_row(S.DISPATCHING), False, False, LATE, Action.REPORT_TIMED_OUT),
        (order_row(1), False, False, LATE, Action.WAIT),
    ],
)
def test_a_look_at_an_order(order, has_result, build_ended, now, action):
    assert decide_order(order, has_result=has_result, build_ended=build_ended, now=now).action is action


def test_an_order_that_waits_for_a_worker_is_left_and_one_whose_worker_is_silent_is_not():
    order = open_row().model_copy(update={"order_deadline": START + timedelta(hours=6)})
    late = START + timedelta(seconds=60 + 300 + 61)
    assert not is_late(order, late - timedelta(seconds=1))
    assert is_late(order, late)
    look = {"has_result": False, "build_ended": False, "now": late}
    assert decide_order(order, **look).action is Action.WAIT
    assert decide_order(order, **look, claimed_at=START + timedelta(seconds=1)).action is Action.WAIT
    assert decide_order(order, **look, claimed_at=START).action is Action.REPORT_TIMED_OUT


NOW = START + timedelta(seconds=10)


@pytest.mark.parametrize(
    ("run", "orders", "reported", "now", "action"),
    [
        (run_row(), [open_row()], set(), NOW, Action.WAIT),
        (run_row(), [open_row()], {"0001"}, NOW, Action.NUDGE),
        (run_row(), [order_row(1)], set(), NOW, Action.NUDGE),
        (run_row(max_parallel=1), [open_row(), order_row(2)], set(), NOW, Action.WAIT),
        (run_row(), [open_row(), order_row(2, after=[1])], set(), NOW, Action.WAIT),
        (run_row(), [order_row(1, status=S.FAILED), order_row(2, after=[1])], set(), NOW, Action.NUDGE),
        (run_row(), [order_row(1, status=S.FAILED)], set(), NOW, Action.NUDGE),
        (run_row(status=RunState.FAILED), [order_row(1, status=S.FAILED)], set(), NOW, Action.NUDGE),
        (run_row(), [open_row(S.DISPATCHING)], set(), START + timedelta(seconds=30), Action.NUDGE),
        (run_row(), [open_row()], set(), LATE, Action.NUDGE),
        (run_row(deadline=NOW), [open_row(), order_row(2, after=[1])], set(), NOW, Action.NUDGE),
        (run_row(cancel_reason="x"), [open_row(), order_row(2, after=[1])], set(), NOW, Action.NUDGE),
    ],
)
def test_a_look_at_a_run(run, orders, reported, now, action):
    assert decide_run(run, orders, None, reported, now).action is action


@pytest.mark.parametrize(
    ("behind", "held", "action"), [(True, False, Action.NUDGE), (True, True, Action.WAIT), (False, False, Action.WAIT)]
)
def test_a_comment_that_is_behind_is_brought_up_to_date(behind, held, action):
    run = run_row(report=ReportTarget(repository="https://example.com/a/b", number=1))
    lease = {"owner": "x", "lease_until": NOW + timedelta(seconds=1)} if held else {}
    lock = Lock(run_id=RUN_ID, expires_at=LATE, comment_behind=behind, **lease)
    assert decide_run(run, [open_row()], lock, set(), NOW).action is action
    assert decide_run(run_row(), [open_row()], lock, set(), NOW).action is Action.WAIT


def test_only_a_completed_lock_ends_the_watch_over_a_run():
    for completed, action in ((True, Action.END), (False, Action.NUDGE)):
        lock = Lock(run_id=RUN_ID, completed=completed, expires_at=START)
        ended = run_row(status=RunState.SUCCEEDED)
        assert decide_run(ended, [order_row(1, status=S.SUCCEEDED)], lock, set(), NOW).action is action


@pytest.mark.parametrize(
    ("age", "action"),
    [
        (60, Action.WAIT),
        (329, Action.WAIT),
        (330, Action.PREPARE_AGAIN),
        (989, Action.PREPARE_AGAIN),
        (990, Action.GIVE_UP),
    ],
)
def test_a_look_at_a_run_that_is_not_prepared(age, action):
    now = START + timedelta(seconds=age)
    assert decide_unprepared(START, START + timedelta(hours=1), now).action is action
    assert decide_unprepared(START, now, now).action is Action.GIVE_UP


class World:
    def __init__(self, orders=({},), inserted=True):
        self.clock = FakeClock(START)
        self.runs, self.locks, self.workers = MemoryRuns(), MemoryLocks(), MemoryWorkers()
        self.objects, self.invoker = MemoryObjects(self.clock), MemoryAsyncInvoker()
        self.objects.put(keys.job(RUN_ID), stored_job(orders).model_dump_json().encode())
        if inserted:
            self.runs.insert(*queued(orders))
        ports = WatchdogPorts(
            self.clock, self.runs, self.locks, self.objects, self.workers, self.invoker, MemoryLogger()
        )
        self.watchdog = Watchdog(ports)

    def open(self, **fields):
        self.runs.order_rows[RUN_ID]["0001"] = open_row(**fields)

    def check(self, num="0001"):
        return self.watchdog.check(Watch(run_id=RUN_ID, order_num=num))

    @property
    def nudged(self):
        return self.objects.exists(keys.trigger(RUN_ID))

    @property
    def result(self):
        return Result.model_validate_json(self.objects.get(keys.result(RUN_ID, "0001")))


def test_a_result_that_lies_unprocessed_wakes_the_orchestrator_and_is_not_the_end():
    world = World()
    world.open()
    world.objects.put(keys.result(RUN_ID, "0001"), b"{}")
    assert not world.check().ended
    assert world.nudged


def test_a_build_that_ended_without_a_word_failed():
    world = World()
    world.open(build_id="build:1")
    assert not world.check().ended
    world.workers.ended.add("build:1")
    world.check()
    assert (world.result.status, world.result.reported_by) == (S.FAILED, Reporter.WATCHDOG)


def test_a_build_that_came_second_says_nothing_about_the_one_that_runs():
    world = World()
    world.open(build_id="worker:2")
    world.workers.ended.add("worker:2")
    claimed_by(world, "dispatch:worker-1:random")
    assert not world.check().ended
    assert not world.objects.exists(keys.result(RUN_ID, "0001"))


@pytest.mark.parametrize("claim", ["dispatch:worker-2:random", "dispatch::random", "random"])
def test_a_build_that_took_the_order_and_left_nothing_failed(claim):
    world = World()
    world.open(build_id="worker:2")
    world.workers.ended.add("worker:2")
    claimed_by(world, claim)
    world.check()
    assert world.result.status is S.FAILED


def test_a_worker_that_is_silent_past_its_time_timed_out_and_can_no_longer_start():
    world = World()
    world.open()
    world.clock.advance(360 + 61)
    world.check()
    assert world.result.status is S.TIMED_OUT
    assert world.objects.exists(keys.claim(RUN_ID, "0001"))


def test_a_wait_for_a_worker_lasts_until_somebody_has_taken_the_order_and_is_silent():
    world = World()
    world.open(order_deadline=START + timedelta(hours=6))
    world.clock.advance(3 * 3600)
    assert not world.check().ended
    assert not world.objects.exists(keys.result(RUN_ID, "0001"))
    claimed_by(world, "one:call:random")
    world.check()
    assert world.result.status is S.TIMED_OUT


def test_a_claim_is_looked_at_only_where_it_matters():
    world = World()
    world.open(order_deadline=START + timedelta(hours=6))
    world.objects.put(keys.claim(RUN_ID, "0001"), b"no claim at all")
    reads = []
    read = world.objects.get
    world.objects.get = lambda key, **options: (reads.append(key), read(key, **options))[1]
    world.check()
    assert reads == []
    world.clock.advance(3600)
    assert not world.check().ended
    assert reads == [keys.claim(RUN_ID, "0001")]


def test_a_result_that_came_between_look_and_write_stays():
    world = World()
    world.open()
    world.clock.advance(360 + 61)
    own = Result(run_id=RUN_ID, order_num="0001", status=S.SUCCEEDED, reported_by=Reporter.WORKER, ended_at=START)
    exists = world.objects.exists
    world.objects.exists = lambda key: exists(key) and not key.endswith("0001/result.json")
    world.objects.put(keys.result(RUN_ID, "0001"), own.model_dump_json().encode())
    world.check()
    assert world.result == own
    assert world.nudged


def test_a_preparation_that_is_late_is_started_again_and_at_last_given_up():
    world = World(inserted=False)
    assert not world.check("0000").ended
    assert world.invoker.started == []
    world.clock.advance(331)
    world.check("0000")
    assert world.invoker.started == [RUN_ID]
    world.clock.advance(700)
    world.check("0000")
    rows = world.runs.read(RUN_ID)
    assert "preparation" in rows.run.preparation_error
    assert world.nudged


def test_what_is_gone_is_not_watched_for_ever():
    world = World(inserted=False)
    world.objects.delete([keys.job(RUN_ID)])
    assert world.check("0000").ended
    assert world.check("0001").ended


DISPATCH = str(int(START.timestamp() * 1000))
FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:iac-ci-worker:$LATEST"
WORK = {
    "run_id": RUN_ID,
    "order_num": "0001",
    "trace_id": "0" * 16,
    "dispatch": DISPATCH,
    "timeout": 60,
    "not_after": DEADLINE.isoformat(),
    "urls": {"package": "p", "claim": "c", "claim_check": "k", "log": "l", "result": "r"},
}


def test_lambdas_records_of_what_died_are_read():
    context = {"requestId": "call", "functionArn": FUNCTION, "condition": "RetriesExhausted"}
    died = parse_failure(
        {"requestContext": context, "requestPayload": WORK, "responsePayload": {"errorMessage": "killed"}}
    )
    assert died == WorkerDied(RUN_ID, "0001", "killed", DISPATCH, "call", FUNCTION)
    unprepared = {"requestContext": context, "requestPayload": {"prepare": RUN_ID}}
    assert parse_failure(unprepared) == PreparationDied(RUN_ID, "RetriesExhausted")
    assert parse_failure({"run_id": RUN_ID, "order_num": "0001"}) is None
    with pytest.raises(ValueError, match="prepare"):
        parse_failure({"requestPayload": {"other": 1}})
    # Raised, and so an alarm in the end: nobody else could tell.
    with pytest.raises(ValueError, match=f"event '{RUN_ID}' could not be processed: no answer"):
        parse_failure({"requestPayload": {"trigger": RUN_ID}, "responsePayload": {"errorMessage": "no answer"}})


def claimed_by(world, execution):
    claim = Claim(run_id=RUN_ID, order_num="0001", claimed_by=Reporter.WORKER, claimed_at=START, execution=execution)
    world.objects.put(keys.claim(RUN_ID, "0001"), claim.model_dump_json().encode())


@pytest.mark.parametrize("claim", [f"{DISPATCH}:call:random", f"{DISPATCH}::random"])
def test_a_worker_that_died_failed_at_once(claim):
    world = World()
    world.open()
    claimed_by(world, claim)
    world.watchdog.worker_died(WorkerDied(RUN_ID, "0001", "killed", DISPATCH, "call", FUNCTION))
    assert world.result.status is S.FAILED
    assert "killed" in world.result.reason


@pytest.mark.parametrize("claim", ["other:call:random", f"{DISPATCH}:other:random"])
def test_the_death_of_a_worker_that_had_no_claim_does_not_end_the_one_that_has(claim):
    world = World()
    world.open()
    claimed_by(world, claim)
    world.watchdog.worker_died(WorkerDied(RUN_ID, "0001", "throttled", DISPATCH, "call", FUNCTION))
    assert not world.objects.exists(keys.result(RUN_ID, "0001"))


def test_a_worker_that_died_after_its_order_had_ended_changes_nothing():
    world = World()
    world.runs.order_rows[RUN_ID]["0001"] = order_row(1, status=S.SUCCEEDED)
    world.watchdog.worker_died(WorkerDied(RUN_ID, "0001", "killed", DISPATCH, "call", FUNCTION))
    assert not world.objects.exists(keys.result(RUN_ID, "0001"))


def test_a_preparation_that_failed_for_good_ends_the_run_visibly():
    world = World(inserted=False)
    died = PreparationDied(RUN_ID, "out of memory")
    world.watchdog.preparation_died(died)
    assert world.runs.read(RUN_ID).run is None
    world.clock.advance(180)
    world.watchdog.preparation_died(died)
    assert "out of memory" in world.runs.read(RUN_ID).run.preparation_error
    assert world.nudged


def test_a_claim_of_a_part_that_only_a_newer_version_knows_is_left_to_that_part():
    world = World()
    world.open()
    stored = Claim(run_id=RUN_ID, order_num="0001", claimed_by=Reporter.WORKER, claimed_at=START).model_dump_json()
    world.objects.put(keys.claim(RUN_ID, "0001"), stored.replace('"worker"', '"broker"').encode())
    world.watchdog.worker_died(WorkerDied(RUN_ID, "0001", "killed", DISPATCH, "call", FUNCTION))
    assert not world.objects.exists(keys.result(RUN_ID, "0001"))


@pytest.mark.parametrize("claim", [None, f"{DISPATCH}:call:random"])
@pytest.mark.parametrize(
    "forged",
    [
        {"dispatch": "guessed"},
        {"dispatch": ""},
        {"dispatch": str(int(DISPATCH) + 1)},
        {"function": ""},
        {"function": "arn:aws:lambda:eu-central-1:123456789012:function:iac-ci-init-job:$LATEST"},
        {"function": "iac-ci-worker"},
    ],
)
def test_a_forged_failure_record_ends_no_order_of_another_run(forged, claim):
    """What runs in a worker may invoke the watchdog with any record: it knows its own dispatch and request only."""
    world = World()
    world.open()
    if claim is not None:
        claimed_by(world, claim)
    died = WorkerDied(RUN_ID, "0001", "killed", DISPATCH, "call", FUNCTION)
    world.watchdog.worker_died(replace(died, **forged))
    assert not world.objects.exists(keys.result(RUN_ID, "0001"))
    assert world.objects.exists(keys.claim(RUN_ID, "0001")) is (claim is not None)


@pytest.mark.parametrize("call", ["", "guessed"])
def test_a_forged_failure_record_without_the_claimants_request_ends_nothing(call):
    world = World()
    world.open()
    claimed_by(world, f"{DISPATCH}:call:random")
    world.watchdog.worker_died(WorkerDied(RUN_ID, "0001", "killed", DISPATCH, call, FUNCTION))
    assert not world.objects.exists(keys.result(RUN_ID, "0001"))


def test_a_forged_record_of_a_failed_preparation_does_not_end_a_run_that_is_being_prepared():
    world = World(inserted=False)
    for _ in range(5):
        world.watchdog.preparation_died(PreparationDied(RUN_ID, "forged"))
        world.clock.advance(29)
    assert world.runs.read(RUN_ID).run is None
