"""What was seen, and what is said of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from iac_ci_cli.diagnosis import RunSnapshot, WatchdogState, diagnose
from iac_ci_cli.findings import Level
from iac_ci_cli.times import span
from iac_ci_common.models.job import ExecutionTarget
from iac_ci_common.models.lock import Lock
from iac_ci_common.models.result import Claim, Reporter, Result
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row, stored_job


def at(seconds):
    return START + timedelta(seconds=seconds)


def lock(**fields):
    return Lock(run_id=RUN_ID, expires_at=at(90000), **fields)


def claim(seconds, by=Reporter.WORKER, **fields):
    return {"0001": Claim(run_id=RUN_ID, order_num="0001", claimed_by=by, claimed_at=at(seconds), **fields)}


def result(seconds):
    reported = Result(
        run_id=RUN_ID,
        order_num="0001",
        status=OrderState.SUCCEEDED,
        reported_by=Reporter.WORKER,
        ended_at=at(seconds),
    )
    return {"0001": reported}


def seen(now, *orders, run=None, **fields):
    values = {
        "run_id": RUN_ID,
        "stack": "iac-ci",
        "now": at(now),
        "job": None,
        "run": run or run_row(),
        "orders": orders,
        "lock": lock(),
        "watchdog": WatchdogState.RUNNING,
        "last_event": START,
    }
    return RunSnapshot(**(values | fields))


def unprepared(now, **fields):
    return RunSnapshot(
        RUN_ID, "iac-ci", at(now), stored_job([{}]), None, (), None, fields.get("watchdog", WatchdogState.RUNNING)
    )


def running(**fields):
    return order_row(1, **({"status": OrderState.RUNNING, "dispatched_at": START, "order_deadline": at(360)} | fields))


def build(**fields):
    return running(target=ExecutionTarget.CODEBUILD, build_id="worker:1", **fields)


def dispatching():
    return running(status=OrderState.DISPATCHING)


def done(num, status=OrderState.SUCCEEDED, **fields):
    return order_row(num, status=status, ended_at=START, **fields)


CANCELLED = run_row(cancel_reason="enough")
ENDED = run_row(status=RunState.SUCCEEDED, finished_at=START)

HEALTHY = [
    ("it is being prepared", unprepared(60), "its preparation", set()),
    ("a command runs", seen(30, running(), claims=claim(1)), "order-1 to end", {"running"}),
    (
        "its worker trades",
        seen(300, running(timeout=3600), claims=claim(1), signs={"0001": at(120)}),
        "order-1 to end",
        {"running"},
    ),
    (
        "a build that came second left at once",
        seen(30, build(), claims=claim(1, execution="dispatch:worker-2:random"), ended_builds={"worker:1"}),
        "order-1 to end",
        {"running"},
    ),
    ("its worker comes", seen(10, running()), "order-1", {"waiting-for-worker"}),
    ("it is being dispatched", seen(10, dispatching()), "order-1", {"dispatching"}),
    (
        "AWS has no capacity",
        seen(60, running(status=OrderState.DISPATCHING, reason="waits for capacity: AccountLimitExceededException")),
        "order-1",
        {"waiting-for-capacity"},
    ),
    ("a dispatch is made again", seen(60, dispatching()), "order-1", {"dispatching"}),
    ("a result has just come", seen(30, running(), results=result(29)), "order-1", {"result-unprocessed"}),
    (
        "others must end first",
        seen(300, running(timeout=600), order_row(2, after=[1]), claims=claim(1)),
        "order-1 to end (1 queued)",
        {"running", "waiting-for-dependencies"},
    ),
    (
        "the places are taken",
        seen(300, running(timeout=600), order_row(2), claims=claim(1), run=run_row(max_parallel=1)),
        "order-1",
        {"running", "waiting-for-place"},
    ),
    (
        "others hold its group",
        seen(300, order_row(1, waiting_for=f"run {RUN_ID} (apply-network), second in line")),
        f"run {RUN_ID} (apply-network), second in line (1 queued)",
        {"waiting-for-others"},
    ),
    ("an order is about to start", seen(30, order_row(1)), "start", {"ready-not-dispatched"}),
    ("nobody has looked yet", seen(300, order_row(1), lock=None), "start", {"ready-not-dispatched"}),
    (
        "the orchestrator is at it",
        seen(300, order_row(1), lock=lock(owner="me", lease_until=at(310))),
        "start",
        {"lock-held", "ready-not-dispatched"},
    ),
    (
        "a dead holder holds up nothing",
        seen(300, running(timeout=600), claims=claim(1), lock=lock(owner="me", lease_until=at(200))),
        "order-1",
        {"lock-expired", "running"},
    ),
    (
        "it is cancelled and what runs goes on",
        seen(300, running(timeout=600), claims=claim(1), run=CANCELLED),
        "order-1",
        {"running", "cancelled"},
    ),
    (
        "its time is just up",
        seen(3610, running(timeout=3600), claims=claim(1)),
        "order-1",
        {"running", "deadline-passed"},
    ),
    ("it is ending", seen(20, done(1), run=ENDED), "finish", {"finish-incomplete"}),
    (
        "it is ending slowly",
        seen(300, done(1), run=ENDED, lock=lock(owner="me", lease_until=at(310))),
        "finish",
        {"finish-incomplete", "lock-held"},
    ),
    (
        "it has ended, and its watchdog with it",
        seen(9999, done(1), run=ENDED, lock=lock(completed=True), watchdog=WatchdogState.ENDED),
        "nothing: the run succeeded",
        set(),
    ),
]

TROUBLE = [
    ("a result lies there", seen(200, running(), results=result(100)), "result-unprocessed", "nudge"),
    ("a dispatch is not made again", seen(200, dispatching()), "dispatching-long", "orchestrator"),
    ("a build is gone", seen(200, build(), ended_builds={"worker:1"}), "worker-gone", "worker:1"),
    ("no function comes", seen(400, running()), "waiting-for-worker", "iac-ci-worker"),
    ("no build comes", seen(400, build()), "waiting-for-worker", "CodeBuild"),
    ("a worker is silent", seen(500, running(), claims=claim(1)), "worker-silent", "/aws/lambda/iac-ci-worker"),
    ("a build is silent", seen(500, build(), claims=claim(1)), "worker-silent", "worker:1"),
    (
        "a worker gives no sign of life",
        seen(300, running(timeout=3600), claims=claim(1), signs={"0001": at(110)}),
        "no-sign-of-life",
        "Silence alone ends nothing",
    ),
    (
        "somebody died while ending an order",
        seen(200, running(), claims=claim(1, Reporter.WATCHDOG)),
        "ending-from-outside",
        "nudge",
    ),
    ("a ready order is left", seen(200, order_row(1)), "ready-not-dispatched", "nudge"),
    (
        "a ready order is left by a holder who died",
        seen(200, order_row(1), lock=lock(owner="me", lease_until=at(30))),
        "ready-not-dispatched",
        "nudge",
    ),
    ("a ready order was never looked at", seen(500, order_row(1), lock=None), "ready-not-dispatched", "nudge"),
    (
        "an order can never start",
        seen(200, done(1, OrderState.FAILED), order_row(2, after=[1])),
        "blocked-not-skipped",
        "nudge",
    ),
    ("a cancelled run goes on", seen(200, order_row(1), run=CANCELLED), "queued-not-ended", "nudge"),
    ("every order has ended", seen(200, done(1)), "run-not-ended", "nudge"),
    ("its time is long up", seen(3900, running(timeout=3600), claims=claim(2000)), "deadline-passed", "nudge"),
    ("its finish is stuck", seen(200, done(1), run=ENDED), "finish-incomplete", "nudge"),
    ("nobody looks after it", seen(5, running(), watchdog=WatchdogState.ENDED), "watchdog-gone", "nudge"),
    ("nobody ever did", seen(5, running(), watchdog=WatchdogState.MISSING), "watchdog-gone", "nudge"),
    ("its preparation is late", unprepared(400), "preparation-late", "iac-ci-init-job"),
    ("its preparation is stuck", unprepared(1200), "preparation-stuck", "nudge"),
    ("nobody looks after its preparation", unprepared(5, watchdog=WatchdogState.ENDED), "watchdog-gone", "nudge"),
]


@pytest.mark.parametrize(("look", "waits_for", "kinds"), [row[1:] for row in HEALTHY], ids=[row[0] for row in HEALTHY])
def test_what_is_well_is_not_called_wrong(look, waits_for, kinds):
    diagnosis = diagnose(look)
    assert diagnosis.healthy, diagnosis
    assert waits_for in diagnosis.waits_for
    assert {finding.kind for finding in diagnosis.findings} == kinds


@pytest.mark.parametrize(("look", "kind", "next_step"), [row[1:] for row in TROUBLE], ids=[row[0] for row in TROUBLE])
def test_what_is_wrong_is_said_with_the_next_step(look, kind, next_step):
    diagnosis = diagnose(look)
    assert not diagnosis.healthy
    (found,) = [finding for finding in diagnosis.findings if finding.level is Level.TROUBLE]
    assert found.kind == kind
    assert next_step in found.next_step


def test_a_wide_run_is_told_in_few_words():
    orders = [order_row(1, status=OrderState.RUNNING, dispatched_at=START, timeout=600)]
    orders += [order_row(num, after=[1]) for num in range(2, 900)]
    diagnosis = diagnose(seen(10, *orders))
    assert len(diagnosis.findings) == 2
    assert all(len(finding.what) < 200 for finding in diagnosis.findings)


@pytest.mark.parametrize(
    ("seconds", "words"), [(-1, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90061, "25 h 1 min")]
)
def test_lengths_of_time_are_said_as_people_do(seconds, words):
    assert span(timedelta(seconds=seconds)) == words


def test_one_order_that_takes_the_place_is_named_as_one():
    findings = diagnose(seen(300, running(timeout=600), order_row(2), claims=claim(1), run=run_row(max_parallel=1)))
    assert "Ready, but 1 order runs already (max_parallel)" in str(findings)
