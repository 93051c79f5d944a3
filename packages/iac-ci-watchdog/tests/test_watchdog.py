from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from iac_ci_common import keys
from iac_ci_common.errors import Throttled
from iac_ci_common.execution_life import latest_end
from iac_ci_common.limits import DEFAULT_STOP_GRACE_SECONDS, LEASE_SECONDS, STOP_GRACE_SECONDS
from iac_ci_common.models.job import ExecutionTarget
from iac_ci_common.models.lock import Lock
from iac_ci_common.models.result import Claim, Reporter, Result
from iac_ci_common.models.rows import ReportTarget
from iac_ci_common.models.watch import KnownRows, Watch
from iac_ci_common.states import OrderState, RunState
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
from iac_ci_common.testing.samples import RUN_ID, START, TRACE_ID, order_row, queued, run_row, stored_job
from iac_ci_common.tickets import digest
from iac_ci_watchdog.act import Watchdog
from iac_ci_watchdog.decide import Action, decide_order, decide_run, decide_unprepared, needs_claim
from iac_ci_watchdog.failures import PreparationDied, WorkerDied, parse_failure
from iac_ci_watchdog.ports import WatchdogPorts

S = OrderState
DEADLINE = START + timedelta(seconds=360)
LATE = DEADLINE + timedelta(seconds=61)
GRACE = timedelta(seconds=DEFAULT_STOP_GRACE_SECONDS)


def open_row(status=S.RUNNING, **fields):
    return order_row(1, **({"status": status, "dispatched_at": START, "order_deadline": DEADLINE} | fields))


def opened(order):
    return KnownRows.of([order], None).open[0]


def claim_of(by=Reporter.WORKER, at=START, execution="one:call:random"):
    return Claim(run_id=RUN_ID, order_num="0001", claimed_by=by, claimed_at=at, execution=execution)


A_BUILD = {"target": ExecutionTarget.CODEBUILD, "build_id": "worker:2"}
BUILT = claim_of(execution="one:worker-2:random")
OTHER = "00000000-0000-0000-0000-000000000001"
LIFE = timedelta(seconds=600 + 30)
"""The time-out of the worker function, and the difference that clocks may have."""


@pytest.mark.parametrize(
    ("order", "claim", "ended", "now", "action"),
    [
        # Nothing is known of a worker.
        (open_row(), None, (), START, Action.WAIT),
        (open_row(), None, (), DEADLINE, Action.WAIT),
        (open_row(), None, (), LATE, Action.REPORT_TIMED_OUT),
        (open_row(S.DISPATCHING), None, (), LATE, Action.REPORT_TIMED_OUT),
        (open_row(**A_BUILD), None, ("worker:2",), START, Action.REPORT_FAILED),
        # A function has claimed it: it may be silent until it cannot run any more, also beyond the order's deadline.
        (open_row(), claim_of(), (), LATE, Action.WAIT),
        (open_row(), claim_of(), (), START + LIFE, Action.WAIT),
        (open_row(), claim_of(), (), START + LIFE + timedelta(seconds=1), Action.REPORT_TIMED_OUT),
        (open_row(), claim_of(at=DEADLINE), (), DEADLINE + LIFE, Action.WAIT),
        # A worker has claimed it, and its row does not say so yet.
        (open_row(S.DISPATCHING), None, (), START + timedelta(seconds=60), Action.WAIT),
        (open_row(S.DISPATCHING), claim_of(), (), START + timedelta(seconds=60), Action.RECORD_RUNNING),
        (open_row(S.DISPATCHING), claim_of(), (), LATE, Action.RECORD_RUNNING),
        (open_row(S.DISPATCHING), claim_of(Reporter.ORCHESTRATOR), (), START + timedelta(seconds=60), Action.WAIT),
        (open_row(S.DISPATCHING, target=ExecutionTarget.CODEBUILD), BUILT, (), START + timedelta(seconds=60),
         Action.RECORD_RUNNING),
        # A build has claimed it: it is asked for, and stopped where the deadline has passed.
        (open_row(**A_BUILD), BUILT, (), LATE, Action.WAIT),
        (open_row(**A_BUILD), BUILT, (), LATE + GRACE - timedelta(seconds=1), Action.WAIT),
        (open_row(**A_BUILD), BUILT, (), LATE + GRACE, Action.STOP_BUILD),
        (open_row(**A_BUILD, stop_grace=1800), BUILT, (), LATE + timedelta(seconds=1799), Action.WAIT),
        (open_row(**A_BUILD, stop_grace=1800), BUILT, (), LATE + timedelta(seconds=1800), Action.STOP_BUILD),
        (open_row(**A_BUILD), BUILT, (), LATE + timedelta(hours=1), Action.STOP_BUILD),
        (open_row(**A_BUILD), BUILT, ("worker:2",), START, Action.REPORT_FAILED),
        (open_row(**A_BUILD), BUILT, ("worker:2",), LATE, Action.REPORT_TIMED_OUT),
        # Another build has claimed it than the one that the row names.
        (open_row(**A_BUILD), claim_of(execution=f"one:worker-{OTHER}:random"), ("worker:2",), START, Action.WAIT),
        (open_row(**A_BUILD), claim_of(execution=f"one:worker-{OTHER}:random"), ("worker:2", f"worker:{OTHER}"), START,
         Action.REPORT_FAILED),
        (open_row(**A_BUILD), claim_of(execution="one:worker-1:random"), ("worker:2",), START, Action.WAIT),
        # The engine has claimed it, and died before it wrote the result.
        (open_row(), claim_of(Reporter.WATCHDOG), (), START + timedelta(seconds=60), Action.WAIT),
        (open_row(), claim_of(Reporter.ORCHESTRATOR), (), START + timedelta(seconds=61), Action.REPORT_FAILED),
    ],
)  # fmt: skip
def test_a_look_at_an_order(order, claim, ended, now, action):
    found = opened(order)
    assert decide_order(found, claim, frozenset(ended), now).action is action
    # The claim is read wherever it matters.
    assert action is Action.WAIT or needs_claim(found, frozenset(ended), now) or claim.claimed_by is not Reporter.WORKER


@pytest.mark.parametrize("at", [START + timedelta(seconds=LEASE_SECONDS), DEADLINE, DEADLINE + timedelta(seconds=1)])
def test_the_claim_of_an_interrupted_dispatch_is_read_also_behind_the_deadline(at):
    """Its claim alone names the build, which may have ended."""
    assert needs_claim(opened(open_row(S.DISPATCHING, target=ExecutionTarget.CODEBUILD)), frozenset(), at)
    assert not needs_claim(opened(open_row(**A_BUILD)), frozenset(), at)


@pytest.mark.parametrize("silent_for", [600, 3600, 8 * 3600])
def test_no_silence_of_a_build_that_runs_ends_its_order(silent_for):
    order = opened(open_row(**A_BUILD, timeout=8 * 3600, order_deadline=START + timedelta(hours=14)))
    now = START + timedelta(seconds=silent_for)
    assert decide_order(order, BUILT, frozenset(), now).action is Action.WAIT


NOW = START + timedelta(seconds=10)


@pytest.mark.parametrize(
    ("run", "orders", "reported", "now", "action"),
    [
        (run_row(), [order_row(1, waiting_for="run 1, first in line")], set(), NOW, Action.LOOK_AGAIN),
        (run_row(), [order_row(1, waiting_for="run 1, first in line"), order_row(2)], set(), NOW, Action.NUDGE),
        (run_row(), [open_row()], set(), NOW, Action.WAIT),
        (run_row(), [open_row()], {"0001"}, NOW, Action.NUDGE),
        (run_row(), [order_row(1)], set(), NOW, Action.NUDGE),
        (run_row(max_parallel=1), [open_row(), order_row(2)], set(), NOW, Action.WAIT),
        (run_row(), [open_row(), order_row(2, after=[1])], set(), NOW, Action.WAIT),
        (run_row(), [order_row(1, status=S.FAILED), order_row(2, after=[1])], set(), NOW, Action.NUDGE),
        (run_row(), [order_row(1, status=S.FAILED)], set(), NOW, Action.NUDGE),
        (run_row(status=RunState.FAILED), [order_row(1, status=S.FAILED)], set(), NOW, Action.NUDGE),
        (run_row(), [open_row(S.DISPATCHING)], set(), START + timedelta(seconds=30), Action.NUDGE),
        # AWS starts no worker for want of capacity: that is tried again, and is no fault of the run.
        (
            run_row(),
            [open_row(S.DISPATCHING, reason="waits")],
            set(),
            START + timedelta(seconds=30),
            Action.DISPATCH_AGAIN,
        ),
        (
            run_row(),
            [
                open_row(S.DISPATCHING, reason="waits"),
                order_row(2, status=S.DISPATCHING, dispatched_at=START, order_deadline=DEADLINE),
            ],
            set(),
            START + timedelta(seconds=30),
            Action.NUDGE,
        ),
        (run_row(), [open_row(S.DISPATCHING, reason="waits")], set(), START + timedelta(seconds=29), Action.WAIT),
        (run_row(), [open_row(S.DISPATCHING, reason="waits")], {"0001"}, START + timedelta(seconds=30), Action.NUDGE),
        (run_row(), [open_row()], set(), LATE, Action.WAIT),
        (run_row(deadline=NOW), [open_row(), order_row(2, after=[1])], set(), NOW, Action.NUDGE),
        (run_row(cancel_reason="x"), [open_row(), order_row(2, after=[1])], set(), NOW, Action.NUDGE),
    ],
)
def test_a_look_at_a_run(run, orders, reported, now, action):
    known = KnownRows.of(orders, None)
    assert decide_run(run, known, reported, None, now, orders).action is action


@pytest.mark.parametrize(
    ("behind", "held", "action"), [(True, False, Action.NUDGE), (True, True, Action.WAIT), (False, False, Action.WAIT)]
)
def test_a_comment_that_is_behind_is_brought_up_to_date(behind, held, action):
    run = run_row(report=ReportTarget(repository="https://example.com/a/b", number=1))
    lease = {"owner": "x", "lease_until": NOW + timedelta(seconds=1)} if held else {}
    lock = Lock(run_id=RUN_ID, expires_at=LATE, comment_behind=behind, **lease)
    known = KnownRows.of([open_row()], lock)
    assert decide_run(run, known, set(), lock, NOW).action is action
    assert decide_run(run_row(), known, set(), lock, NOW).action is Action.WAIT


ASKING = order_row(
    1, approval={"by": ["ann"]}, waiting_for="approval of ann", order_deadline=NOW + timedelta(seconds=600)
)


@pytest.mark.parametrize(
    ("state", "lock", "action"),
    [
        ("running", {"announced": {"0001"}}, Action.WAIT),
        ("running", {}, Action.NUDGE),
        ("running", {"owner": "x", "lease_until": NOW + timedelta(seconds=1)}, Action.WAIT),
        ("running", {"announce_at": NOW}, Action.LOOK_AGAIN),
        ("running", {"announce_at": NOW + timedelta(seconds=1)}, Action.WAIT),
        ("succeeded", {"announce_at": NOW, "finished": True}, Action.LOOK_AGAIN),
        ("succeeded", {"announce_at": NOW + timedelta(seconds=1), "finished": True}, Action.WAIT),
        ("succeeded", {"announce_at": NOW}, Action.NUDGE),
    ],
)
def test_what_is_not_announced_is_looked_for(state, lock, action):
    run, orders = run_row(status=RunState(state)), [ASKING]
    held = Lock(run_id=RUN_ID, expires_at=LATE, **lock)
    assert decide_run(run, KnownRows.of(orders, held), set(), held, NOW, orders).action is action


@pytest.mark.parametrize("completed", [True, False])
def test_only_a_completed_lock_ends_the_watch_over_a_run(completed):
    world = World()
    world.runs.run_rows[RUN_ID] = run_row(status=RunState.SUCCEEDED)
    world.runs.order_rows[RUN_ID]["0001"] = order_row(1, status=S.SUCCEEDED)
    world.locks.locks[RUN_ID] = Lock(run_id=RUN_ID, completed=completed, expires_at=START)
    assert world.check().ended is completed
    assert world.nudged is not completed


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
        self.logger = MemoryLogger()
        ports = WatchdogPorts(
            self.clock,
            self.runs,
            self.locks,
            self.objects,
            self.workers,
            self.invoker,
            Sequential(),
            self.logger,
        )
        self.watchdog = Watchdog(ports)

    def open(self, **fields):
        self.runs.order_rows[RUN_ID]["0001"] = open_row(**fields)

    def check(self, num="0000", state=None):
        return self.watchdog.check(Watch(run_id=RUN_ID, order_num=num, state=state))

    def release(self):
        """Leave the lock as a pass of the orchestrator does."""
        lock = self.locks.ring(RUN_ID, {"0001"}, owner="x", now=START, lease_seconds=30, expires_at=LATE)
        assert self.locks.release(lock) is None

    @property
    def nudged(self):
        return self.objects.exists(keys.trigger(RUN_ID))

    @property
    def result(self):
        return Result.model_validate_json(self.objects.get(keys.result(RUN_ID, "0001")))


@pytest.mark.parametrize("build_id", [None, f"worker:{OTHER}"])
def test_an_order_that_a_worker_has_claimed_is_recorded_as_running_without_a_nudge(build_id):
    world = World()
    target = ExecutionTarget.LAMBDA if build_id is None else ExecutionTarget.CODEBUILD
    world.open(status=S.DISPATCHING, target=target)
    world.release()
    claimed_by(world, "one:call:random" if build_id is None else f"one:worker-{OTHER}:random")
    world.clock.advance(60)
    answer = world.check()
    order = world.runs.find_order(RUN_ID, "0001")
    assert (order.status, order.started_at, order.build_id) == (S.RUNNING, START, build_id)
    assert [(event.kind, event.at) for event in world.runs.events(TRACE_ID)][-1] == ("running", order.started_at)
    assert not world.nudged
    # The next poll knows it, and reads no rows, unless it needs the number of the build.
    known = KnownRows.of(world.runs.read(RUN_ID).orders, world.locks.read(RUN_ID))
    assert answer.known == (known if build_id is None else None)


def test_an_order_without_a_claim_is_dispatched_again():
    world = World()
    world.open(status=S.DISPATCHING)
    world.clock.advance(60)
    world.check()
    assert world.runs.find_order(RUN_ID, "0001").status is S.DISPATCHING
    assert world.nudged


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


@pytest.mark.parametrize("row", [{"build_id": "build:1"}, {"build_id": None}])
def test_a_build_that_is_not_listed_yet_has_not_ended(row):
    """CodeBuild may list a build later than it started it; a build that is gone ends its order after five minutes."""
    world = World()
    world.open(target=ExecutionTarget.CODEBUILD, order_deadline=START + timedelta(hours=6), **row)
    world.workers.unlisted.update({"build:1", f"worker:{OTHER}"})
    if row["build_id"] is None:
        claimed_by(world, f"one:worker-{OTHER}:random")
    world.clock.advance(299)
    assert not world.check().ended
    assert not world.objects.exists(keys.result(RUN_ID, "0001"))
    world.clock.advance(1)
    world.check()
    assert (world.result.status, world.result.reason) == (S.FAILED, "the build ended without a result")


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


def test_an_order_that_no_worker_began_in_time_timed_out_and_can_no_longer_start():
    world = World()
    world.open()
    world.clock.advance(360 + 61)
    world.check()
    assert world.result.status is S.TIMED_OUT
    assert world.objects.exists(keys.claim(RUN_ID, "0001"))


def test_an_order_times_out_also_if_the_answer_to_the_claim_was_lost():
    world = World()
    world.open()
    world.clock.advance(360 + 61)
    create = world.objects.create

    def twice(key, body, **options):
        # The client repeats a call whose answer was lost, and then meets its own object.
        create(key, body, **options)
        create(key, body, **options)

    world.objects.create = twice
    world.check()
    assert world.result.status is S.TIMED_OUT


def test_a_worker_that_begins_between_look_and_claim_is_left():
    world = World()
    world.open()
    world.clock.advance(360 + 61)
    create = world.objects.create

    def late(key, body, **options):
        if key == keys.claim(RUN_ID, "0001"):
            claimed_by(world, "one:call:random")
        create(key, body, **options)

    world.objects.create = late
    world.check()
    assert not world.objects.exists(keys.result(RUN_ID, "0001"))


def test_an_order_waits_for_its_worker_until_its_deadline():
    world = World()
    world.open(order_deadline=START + timedelta(hours=6))
    world.clock.advance(3 * 3600)
    assert not world.check().ended
    assert not world.objects.exists(keys.result(RUN_ID, "0001"))


def test_a_silent_function_ends_its_order_when_it_cannot_run_any_more():
    world = World()
    world.open(order_deadline=START + timedelta(hours=6))
    claimed_by(world, "one:call:random")
    world.clock.advance(630)
    world.check()
    assert not world.objects.exists(keys.result(RUN_ID, "0001"))
    world.clock.advance(1)
    world.check()
    assert world.result.status is S.TIMED_OUT


def test_a_build_past_its_deadline_is_stopped_and_its_end_is_awaited():
    world = World()
    world.open(**A_BUILD)
    claimed_by(world, "one:worker-2:random")
    world.workers.stop_build = world.workers.stopped.append
    world.clock.advance(360 + 61)
    world.check()
    assert world.workers.stopped == [], "its commands have their grace"
    world.clock.advance(DEFAULT_STOP_GRACE_SECONDS)
    world.check()
    world.check()
    assert world.workers.stopped == ["worker:2", "worker:2"]
    assert not world.objects.exists(keys.result(RUN_ID, "0001"))
    world.workers.ended.add("worker:2")
    world.check()
    assert world.result.status is S.TIMED_OUT


def test_a_hundred_builds_are_asked_for_together():
    world = World([{} for _ in range(120)])
    for num in range(1, 121):
        row = order_row(num, status=S.RUNNING, dispatched_at=START, order_deadline=DEADLINE, build_id=f"worker:{num}")
        world.runs.order_rows[RUN_ID][row.order_num] = row
    asked = []
    world.workers.ended_builds = lambda ids, new: (asked.append(len(ids)), frozenset(["worker:7", "worker:90"]))[1]
    world.check()
    assert asked == [120]
    ended = [num for num in ("0007", "0090") if world.objects.exists(keys.result(RUN_ID, num))]
    assert ended == ["0007", "0090"]
    assert sum(key.endswith("result.json") for key in world.objects.list(keys.callbacks(RUN_ID))) == 2


def test_an_error_at_one_order_does_not_keep_the_others():
    world = World([{}, {}])
    for num in (1, 2):
        row = order_row(num, status=S.RUNNING, dispatched_at=START, order_deadline=DEADLINE, build_id=f"worker:{num}")
        world.runs.order_rows[RUN_ID][row.order_num] = row
        world.workers.ended.add(f"worker:{num}")
    find = world.runs.find_order

    def breaking(run_id, num):
        if num == "0001":
            raise Throttled("too many")
        return find(run_id, num)

    world.runs.find_order = breaking
    with pytest.raises(Throttled):
        world.check()
    assert world.objects.exists(keys.result(RUN_ID, "0002"))


def test_a_claim_is_read_only_where_it_matters():
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
    # Nothing proves that the worker with this claim has ended.
    assert not world.objects.exists(keys.result(RUN_ID, "0001"))


@pytest.mark.parametrize(
    "fields", [{}, {"status": S.DISPATCHING}, {"status": S.DISPATCHING, "target": ExecutionTarget.CODEBUILD}]
)
def test_an_order_whose_claim_cannot_be_read_ends_when_no_worker_can_live(fields):
    world = World()
    world.open(**fields)
    world.objects.put(keys.claim(RUN_ID, "0001"), b"no claim at all")
    order = world.runs.find_order(RUN_ID, "0001")
    latest = latest_end(order.target, order.timeout, order.grace, DEADLINE + GRACE + timedelta(seconds=60))
    for moment in (START + timedelta(seconds=60), LATE, latest):
        world.clock.advance((moment - world.clock.now()).total_seconds())
        world.check()
        assert not world.objects.exists(keys.result(RUN_ID, "0001"))
        assert world.runs.find_order(RUN_ID, "0001") == order
    world.clock.advance(1)
    world.check()
    assert world.result.status is S.TIMED_OUT


def test_a_build_whose_claim_cannot_be_read_ends_the_order_with_itself():
    world = World()
    world.open(**A_BUILD)
    world.objects.put(keys.claim(RUN_ID, "0001"), b"no claim at all")
    world.workers.ended.add("worker:2")
    world.check()
    assert world.result.status is S.FAILED


def test_a_result_that_came_between_look_and_write_stays():
    world = World()
    world.open()
    world.clock.advance(360 + 61)
    own = Result(run_id=RUN_ID, order_num="0001", status=S.SUCCEEDED, reported_by=Reporter.WORKER, ended_at=START)
    world.objects.list = lambda prefix: []
    world.objects.put(keys.result(RUN_ID, "0001"), own.model_dump_json().encode())
    world.check()
    assert world.result == own
    assert world.nudged


# -- what one poll knows for the next ---------------------------------------------------------------------------------


class Reads:
    """Counts the rows that a poll reads."""

    def __init__(self, world, monkeypatch):
        self.rows = 0
        for port, name, size in (
            (world.runs, "read", lambda rows: len(rows.orders) + (rows.run is not None)),
            (world.runs, "find_run", lambda row: row is not None),
            (world.runs, "find_order", lambda row: row is not None),
            (world.locks, "read", lambda row: row is not None),
        ):
            monkeypatch.setattr(port, name, self._counted(getattr(port, name), size))

    def _counted(self, read, size):
        def counted(*arguments):
            answer = read(*arguments)
            self.rows += size(answer)
            return answer

        return counted

    def take(self):
        rows, self.rows = self.rows, 0
        return rows


def state_of(answer):
    """The execution's state after a poll, as JSON, as the state machine keeps it."""
    return json.loads(json.dumps({"run_id": RUN_ID, "answer": json.loads(answer.model_dump_json())}))


def test_a_poll_reads_the_rows_again_only_after_a_ring(monkeypatch):
    world = World([{} for _ in range(5)])
    world.runs.order_rows[RUN_ID] = {
        f"{num:04d}": order_row(num, status=S.RUNNING, dispatched_at=START, order_deadline=DEADLINE)
        for num in range(1, 6)
    }
    world.release()
    reads = Reads(world, monkeypatch)
    answer = world.check()
    assert reads.take() == 1 + 6
    for _ in range(3):
        answer = world.check(state=state_of(answer))
        assert reads.take() == 2
    world.release()
    answer = world.check(state=state_of(answer))
    assert reads.take() == 1 + 6
    answer = world.check(state=state_of(answer))
    assert reads.take() == 2


def test_a_poll_that_does_not_read_the_rows_finds_what_time_and_others_bring(monkeypatch):
    def prepared(**fields):
        world = World([{}, {"dependencies": ["order-0001"]}])
        world.open(**fields)
        world.release()
        return world, state_of(world.check())

    world, state = prepared()
    world.objects.put(keys.result(RUN_ID, "0001"), b"{}")
    world.check(state=state)
    assert world.nudged
    world, state = prepared()
    world.runs.request_cancel(RUN_ID, "not wanted")
    world.check(state=state)
    assert world.nudged
    world, state = prepared()
    world.clock.advance(24 * 3600)
    world.check(state=state)
    assert world.nudged
    world, state = prepared(status=S.DISPATCHING)
    world.clock.advance(30)
    world.check(state=state)
    assert world.nudged
    world, state = prepared(**A_BUILD)
    world.workers.ended.add("worker:2")
    world.check(state=state)
    assert world.result.status is S.FAILED


def test_nothing_is_kept_while_a_pass_holds_the_lock_or_something_is_missing():
    world = World()
    world.open()
    world.locks.ring(RUN_ID, {"0001"}, owner="x", now=START, lease_seconds=30, expires_at=LATE)
    assert world.check().known is None
    world = World()
    world.release()
    assert world.check().known is None  # an order is ready
    assert world.nudged


def test_an_owner_that_died_with_the_lock_does_not_have_the_rows_read_for_ever(monkeypatch):
    world = World()
    world.open(order_deadline=START + timedelta(hours=6))
    world.locks.ring(RUN_ID, {"0001"}, owner="x", now=START, lease_seconds=30, expires_at=LATE)
    reads = Reads(world, monkeypatch)
    world.clock.advance(30 + 600)
    assert world.check().known is None
    world.clock.advance(1)
    answer = world.check()
    reads.take()
    world.check(state=state_of(answer))
    assert reads.take() == 2
    world.locks.take(RUN_ID, owner="y", now=world.clock.now(), lease_seconds=30, expires_at=LATE)
    world.check(state=state_of(answer))
    assert reads.take() == 1 + 2


@pytest.mark.parametrize("learned", [None, 7, "text", {}, {"doorbell": 1}, {"doorbell": 1, "queued": 1, "open": [{}]}])
def test_what_another_version_knew_is_read_again(learned, monkeypatch):
    world = World()
    world.open()
    world.release()
    reads = Reads(world, monkeypatch)
    world.check(state={"answer": {"known": learned}})
    assert reads.take() == 1 + 2


def test_what_is_known_of_more_orders_than_a_state_holds_is_read_again(monkeypatch):
    world = World()
    world.open(build_id="worker:" + "x" * 100)
    world.release()
    size = len(world.check().known.model_dump_json().encode())
    monkeypatch.setattr("iac_ci_watchdog.act.MAX_KNOWN_BYTES", size)
    assert world.check().known is not None
    monkeypatch.setattr("iac_ci_watchdog.act.MAX_KNOWN_BYTES", size - 1)
    assert world.check().known is None


def test_an_execution_that_a_version_before_started_for_an_order_ends_with_it():
    world = World([{}, {}])
    world.open()
    assert not world.check("0001").ended
    world.runs.order_rows[RUN_ID]["0001"] = order_row(1, status=S.SUCCEEDED)
    assert world.check("0001").ended
    assert not world.check("0000").ended
    assert world.check("0009").ended


def test_an_execution_of_a_version_before_looks_after_its_order():
    world = World()
    world.open(build_id="worker:2")
    world.workers.ended.add("worker:2")
    assert not world.check("0001").ended
    assert world.result.status is S.FAILED


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
    with pytest.raises(ValueError, match=r"the event {'number': 7} could not be processed: no answer"):
        parse_failure({"requestPayload": {"replan": {"number": 7}}, "responsePayload": {"errorMessage": "no answer"}})


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


@pytest.mark.parametrize("status", [S.DISPATCHING, S.RUNNING])
def test_an_order_whose_worker_ended_before_it_began_is_queued_again(status):
    world = World()
    world.open(status=status)
    died = WorkerDied(RUN_ID, "0001", "Runtime exited", DISPATCH, "call", FUNCTION)
    world.watchdog.worker_died(died)
    row = world.runs.find_order(RUN_ID, "0001")
    assert (row.status, row.handed_over, row.dispatched_at, row.order_deadline) == (S.QUEUED, 1, None, None)
    assert world.nudged
    assert not world.objects.exists(keys.claim(RUN_ID, "0001"))
    # Lambda may send the record twice.
    world.watchdog.worker_died(died)
    assert world.runs.find_order(RUN_ID, "0001") == row
    (event,) = [event for event in world.runs.events(TRACE_ID) if event.kind == "queued" and event.reason]
    assert event.reason == "the worker ended before it began the order: Runtime exited"


def test_an_order_that_was_queued_again_by_a_watchdog_that_died_then_is_not_forgotten(monkeypatch):
    died = WorkerDied(RUN_ID, "0001", "Runtime exited", DISPATCH, "call", FUNCTION)

    def refuse(*args, **kwargs):
        raise Throttled("slow down")

    def died_at_the_nudge():
        world = World()
        world.open(order_deadline=START + timedelta(seconds=60))
        world.release()
        state = state_of(world.check())
        with monkeypatch.context() as patched:
            patched.setattr(world.objects, "put", refuse)
            with pytest.raises(Throttled):
                world.watchdog.worker_died(died)
        assert world.runs.find_order(RUN_ID, "0001").status is S.QUEUED
        assert not world.nudged
        return world, state

    world, _ = died_at_the_nudge()
    world.watchdog.worker_died(died)
    assert world.nudged, "Lambda's next attempt nudges"
    world, state = died_at_the_nudge()
    world.clock.advance(60 + STOP_GRACE_SECONDS + 1)
    answer = world.check(state=state)
    assert answer.known is None, "the poll that looks at the order finds another row"
    world.check(state=state_of(answer))
    assert world.nudged


def test_an_order_is_dispatched_three_times_at_most():
    world = World()
    world.open(handed_over=2)
    world.watchdog.worker_died(WorkerDied(RUN_ID, "0001", "Runtime exited", DISPATCH, "call", FUNCTION))
    assert world.result.status is S.FAILED
    assert world.runs.find_order(RUN_ID, "0001").handed_over == 2


def test_an_order_whose_time_is_over_is_not_queued_again():
    world = World()
    world.open()
    world.clock.advance((DEADLINE - START).total_seconds())
    world.watchdog.worker_died(WorkerDied(RUN_ID, "0001", "too old", DISPATCH, "call", FUNCTION))
    assert world.result.status is S.FAILED


def test_an_order_that_changes_meanwhile_is_read_again():
    world = World()
    world.open(status=S.DISPATCHING)
    runs, before = world.runs, world.runs.find_order(RUN_ID, "0001")
    find_run = runs.find_run

    def start_first(run_id):
        runs.order_rows[RUN_ID]["0001"] = before.model_copy(update={"status": S.RUNNING})
        return find_run(run_id)

    runs.find_run = start_first
    world.watchdog.worker_died(WorkerDied(RUN_ID, "0001", "Runtime exited", DISPATCH, "call", FUNCTION))
    assert runs.find_order(RUN_ID, "0001").status is S.QUEUED


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


@pytest.mark.parametrize("ticket", ["e" * 64, "f" * 64])
@pytest.mark.parametrize("claim", [None, "7:call:random", f"{DISPATCH}:other:random"])
def test_a_worker_of_an_earlier_dispatch_that_had_the_claim_is_noticed(claim, ticket):
    """Lambda started it so late that the order was dispatched again; the workers of that dispatch have gone."""
    world = World()
    world.open(tickets=(f"7:{digest('e' * 64)}", f"{DISPATCH}:{digest('f' * 64)}"))
    if claim is not None:
        claimed_by(world, claim)
    before = world.runs.find_order(RUN_ID, "0001")
    world.watchdog.worker_died(WorkerDied(RUN_ID, "0001", "killed", "7", "call", FUNCTION, ticket))
    assert world.runs.find_order(RUN_ID, "0001") == before
    is_ended = world.objects.exists(keys.result(RUN_ID, "0001"))
    assert is_ended is (claim == "7:call:random" and ticket == "e" * 64)


@pytest.mark.parametrize("ticket", [None, "0" * 64, digest("f" * 64)])
@pytest.mark.parametrize("handed_over", [0, 2])
@pytest.mark.parametrize("claim", [None, f"{DISPATCH}:call:random"])
def test_a_forged_failure_record_without_the_ticket_of_its_dispatch_changes_nothing(claim, handed_over, ticket):
    """A worker of the same run guesses when another order was dispatched, also before that order has a claim."""
    world = World()
    world.open(tickets=(f"{DISPATCH}:{digest('f' * 64)}",), handed_over=handed_over)
    if claim is not None:
        claimed_by(world, claim)
    before = world.runs.find_order(RUN_ID, "0001")
    payload = WORK | {"dispatch": DISPATCH} | ({"ticket": ticket} if ticket else {})
    context = {"requestId": "call", "functionArn": FUNCTION}
    record = {"requestPayload": payload, "requestContext": context}
    world.watchdog.worker_died(parse_failure(record))
    assert world.runs.find_order(RUN_ID, "0001") == before
    assert not world.objects.exists(keys.result(RUN_ID, "0001"))
    world.watchdog.worker_died(parse_failure(record | {"requestPayload": payload | {"ticket": "f" * 64}}))
    assert world.runs.find_order(RUN_ID, "0001") != before or world.objects.exists(keys.result(RUN_ID, "0001"))


def test_a_forged_record_of_a_failed_preparation_does_not_end_a_run_that_is_being_prepared():
    world = World(inserted=False)
    for _ in range(5):
        world.watchdog.preparation_died(PreparationDied(RUN_ID, "forged"))
        world.clock.advance(29)
    assert world.runs.read(RUN_ID).run is None
