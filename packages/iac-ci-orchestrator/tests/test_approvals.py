"""Orders that wait for an approval: they cost no worker, the first answer counts, and each wait ends."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from iac_ci_common import keys
from iac_ci_common.approvals import LONGER, answer_result
from iac_ci_common.kept_answers import keep_first
from iac_ci_common.models.approval import ApprovalAnswer
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import RUN_ID

sys.path.insert(0, str(Path(__file__).parent))
import contextlib

from engine import Engine

PLAN = {"order_name": "plan"}
ASK = {
    "order_name": "ask",
    "cmds": [],
    "timeout": 0,
    "approval": {"by": ["ann", "team:acme/platform"], "message": "Is it safe?", "expires": 600},
    "dependencies": ["plan"],
}
APPLY = {"order_name": "apply", "dependencies": ["ask"]}
PULL = {"pr_number": 7, "git_repo": "https://github.com/acme/infra", "commit_hash": "a" * 40}


def waiting(**fields):
    engine = Engine([PLAN, ASK, APPLY], **(PULL | fields))
    engine.wake()
    assert engine.handed_out() == ["0001"]
    engine.report("0001")
    engine.wake("0001")
    assert engine.handed_out() == []
    return engine


def answer(engine, *, approved=True, by="ann", through="comment"):
    order = engine.runs.find_order(RUN_ID, "0002")
    now = engine.clock.now()
    given = ApprovalAnswer(approved=approved, through=through, by=by, account="5", reference=f"comment:{by}", at=now)
    return keep_first(engine.objects, answer_result(order, given))


def kinds(engine, name):
    run = engine.runs.find_run(RUN_ID)
    return [(event.kind, event.by) for event in engine.runs.events(run.trace_id) if event.order_name == name]


def test_it_waits_without_a_worker_and_says_so_everywhere():
    engine = waiting()
    row = engine.runs.find_order(RUN_ID, "0002")
    assert (row.status, row.waiting_for) == (
        OrderState.QUEUED,
        "approval of ann or team acme/platform until 2026-01-01 00:10 UTC",
    )
    assert engine.states == {"0001": "succeeded", "0002": "queued", "0003": "queued"}
    assert kinds(engine, "ask") == [("queued", None), ("waiting", None)]
    comment, asked = engine.reports.bodies.values()
    assert "waits for approval of ann or team acme/platform" in comment.replace("\\", "")
    assert "/iac-ci approve ask" in comment
    assert "Is it safe?" in comment
    assert "/iac-ci approve ask" in asked
    status = engine.reports.statuses[-1]
    assert "ask waits for approval of ann or team acme/platform" in status.description
    assert status.state == "pending"


def test_an_approval_lets_the_run_go_on_and_stays_with_its_name():
    engine = waiting()
    assert answer(engine).status is OrderState.SUCCEEDED
    engine.wake("0002")
    assert engine.handed_out() == ["0003"]
    row = engine.runs.find_order(RUN_ID, "0002")
    assert (row.status, row.waiting_for, row.approval_answer.by) == (OrderState.SUCCEEDED, None, "ann")
    assert row.reason == "approved by ann at 2026-01-01 00:00:00 UTC"
    engine.report("0003")
    engine.wake("0003")
    engine.assert_ended_well()
    assert [order.by for order in engine.marker.orders] == [None, "ann", None]
    assert ("succeeded", "ann") in kinds(engine, "ask")
    assert "**ask** succeeded: approved by ann" in engine.reports.bodies[f"question:{RUN_ID}/0002"]


def test_a_rejection_fails_the_order_and_skips_the_rest():
    engine = waiting()
    answer(engine, approved=False)
    engine.wake("0002")
    assert engine.states == {"0001": "succeeded", "0002": "failed", "0003": "skipped"}
    assert engine.marker.status == "failed"
    assert engine.marker.reason == "ask: rejected by ann at 2026-01-01 00:00:00 UTC"


def test_the_first_answer_counts():
    engine = waiting()
    answer(engine, approved=False, by="bob")
    assert answer(engine, by="ann").reason == "rejected by bob at 2026-01-01 00:00:00 UTC"
    engine.wake("0002")
    assert engine.states["0002"] == "failed"


def test_a_signed_request_names_no_person():
    engine = waiting()
    answer(engine, by=None, through="api")
    engine.wake("0002")
    assert engine.runs.find_order(RUN_ID, "0002").reason.startswith("approved by a signed request (no person is known)")
    assert ("succeeded", None) in kinds(engine, "ask")


def test_without_an_answer_it_expires():
    engine = waiting()
    engine.clock.advance(599)
    engine.wake()
    assert engine.states["0002"] == "queued"
    engine.clock.advance(1)
    engine.wake()
    assert engine.states == {"0001": "succeeded", "0002": "timed_out", "0003": "skipped"}
    assert engine.marker.status == "timed_out"
    assert LONGER in engine.marker.reason


def test_an_answer_just_before_the_expiry_is_not_overwritten():
    engine = waiting()
    engine.clock.advance(599)
    answer(engine)
    engine.clock.advance(5)
    engine.wake()
    assert engine.states["0002"] == "succeeded"


def test_an_answer_after_the_expiry_comes_too_late():
    engine = waiting()
    engine.clock.advance(600)
    engine.wake()
    assert answer(engine).status is OrderState.TIMED_OUT


def test_a_run_that_ends_while_it_waits_says_so_and_names_the_way():
    engine = Engine([PLAN, ASK | {"approval": {"api": True}}, APPLY], job_timeout=700)
    engine.wake()
    engine.report("0001")
    engine.wake("0001")
    engine.clock.advance(700)
    engine.wake()
    assert engine.marker.status == "timed_out"
    assert "the run reached its job_timeout while ask waited for an approval" in engine.marker.reason
    assert LONGER in engine.marker.reason


def test_a_cancelled_run_takes_its_approvals_with_it():
    engine = waiting()
    engine.runs.request_cancel(RUN_ID, "by hand")
    answer(engine)
    engine.wake()
    assert engine.states == {"0001": "succeeded", "0002": "cancelled", "0003": "cancelled"}


def test_it_takes_no_place():
    engine = Engine([ASK | {"dependencies": []}, PLAN, {"order_name": "other"}], max_parallel=1)
    engine.wake()
    assert engine.handed_out() == ["0002"]
    assert engine.runs.find_run(RUN_ID).status == "running"


def test_an_approval_that_is_not_needed_is_not_asked_for():
    plan = PLAN | {"cmds": [{"run": "plan", "ok": [0, 2]}]}
    engine = Engine([plan, ASK | {"when": {"plan": "changed"}}, APPLY])
    engine.wake()
    engine.report("0001")
    engine.wake("0001")
    assert engine.states == {"0001": "succeeded", "0002": "skipped", "0003": "skipped"}
    assert engine.marker.status == "succeeded"


@pytest.mark.parametrize("call", range(1, 40))
def test_a_crash_at_any_call_loses_no_answer(call):
    engine = waiting()
    answer(engine)
    calls = []

    class Crash(BaseException):
        pass

    def crash(name):
        calls.append(name)
        if len(calls) == call:
            raise Crash

    for port in ("runs", "locks", "objects", "workers", "reports"):
        getattr(engine.orchestrator._ports, port)._before = crash
    with contextlib.suppress(Crash):
        engine.wake("0002")
    calls.extend([""] * 1000)
    engine.clock.advance(31)
    engine.wake()
    assert engine.states["0002"] == "succeeded"
    assert set(engine.handed_out()) == {"0003"}


def test_no_worker_can_answer():
    engine = waiting()
    engine.report("0002")
    engine.wake("0002")
    engine.wake()
    assert engine.states["0002"] == "queued"
    assert not engine.objects.exists(keys.answer(RUN_ID, "0002"))


def test_the_wait_never_outlasts_the_run():
    engine = Engine([ASK | {"dependencies": []}], job_timeout=300)
    engine.wake()
    row, run = engine.runs.find_order(RUN_ID, "0001"), engine.runs.find_run(RUN_ID)
    assert row.order_deadline == run.deadline
    assert run.deadline - run.accepted_at == timedelta(seconds=300)


def test_a_run_of_many_approvals_asks_in_few_comments():
    asks = [ASK | {"order_name": f"ask-{number}", "dependencies": []} for number in range(8)]
    engine = Engine(asks, **PULL)
    engine.wake()
    engine.clock.advance(600)
    engine.wake()
    questions = [name for name in engine.reports.bodies if name.startswith("question:")]
    assert questions == [f"question:{RUN_ID}/{number:04d}" for number in range(1, 6)]
    assert all("timed out" in engine.reports.bodies[name] for name in questions)
