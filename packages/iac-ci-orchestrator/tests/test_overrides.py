"""Approvals that override what failed: nobody is asked without need, and nothing continues without an answer."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest

from iac_ci_common.approvals import answer_result, not_answerable
from iac_ci_common.kept_answers import keep_first
from iac_ci_common.models.approval import ApprovalAnswer
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import RUN_ID

sys.path.insert(0, str(Path(__file__).parent))
from engine import Engine

PULL = {"pr_number": 7, "git_repo": "https://github.com/acme/infra", "commit_hash": "a" * 40}
POLICY, COST, GATE, APPLY = "0001", "0002", "0003", "0004"
FAILED, TIMED_OUT, SUCCEEDED = OrderState.FAILED, OrderState.TIMED_OUT, OrderState.SUCCEEDED


def engine(*, policy=(), gate=(), apply=("policy", "override"), **fields):
    override = {
        "order_name": "override",
        "cmds": [],
        "timeout": 0,
        "approval": {"by": ["bob"], "overrides": ["policy"], "expires": 600},
        "dependencies": ["policy", "cost"],
        **dict(gate),
    }
    orders = [
        {"order_name": "policy", **dict(policy)},
        {"order_name": "cost"},
        override,
        {"order_name": "apply", "dependencies": list(apply)},
    ]
    started = Engine(orders, **(PULL | fields))
    started.wake()
    assert started.handed_out() == [POLICY, COST]
    return started


def reported(started, policy, cost=SUCCEEDED):
    started.report(POLICY, policy)
    started.report(COST, cost)
    started.wake(POLICY, COST)
    return started


def answered(started, *, approved=True):
    order, now = started.runs.find_order(RUN_ID, GATE), started.clock.now()
    given = ApprovalAnswer(approved=approved, through="comment", by="bob", account="5", reference="comment:1", at=now)
    result = keep_first(started.objects, answer_result(order, given))
    started.wake(GATE)
    return result


@pytest.mark.parametrize("apply", [("policy", "override"), ("override",)])
def test_nobody_is_asked_if_nothing_failed(apply):
    started = reported(engine(apply=apply), SUCCEEDED)
    assert started.handed_out() == [APPLY]
    row = started.runs.find_order(RUN_ID, GATE)
    assert (row.status, row.reason) == (SUCCEEDED, "nothing to override: policy succeeded")
    assert (row.waiting_for, row.approval_answer) == (None, None)
    assert [name for name in started.reports.bodies if name.startswith("question:")] == []
    started.report(APPLY)
    started.wake(APPLY)
    started.assert_ended_well()
    assert (started.marker.status, started.marker.reason) == ("succeeded", None)


@pytest.mark.parametrize("state", [FAILED, TIMED_OUT])
@pytest.mark.parametrize("apply", [("policy", "override"), ("override",)])
def test_what_failed_is_overridden_by_a_person_and_stays_failed(apply, state):
    started = reported(engine(apply=apply), state)
    assert started.handed_out() == []
    row = started.runs.find_order(RUN_ID, GATE)
    assert row.waiting_for == "approval of bob to override policy until 2026-01-01 00:10 UTC"
    assert started.states[APPLY] == "queued"
    answered(started)
    assert started.handed_out() == [APPLY]
    started.report(APPLY)
    started.wake(APPLY)
    started.assert_ended_well()
    marker, words = started.marker, state.value.replace("_", " ")
    assert marker.status == "succeeded"
    assert marker.reason == f"policy {words}; override was approved by bob at 2026-01-01 00:00:00 UTC"
    assert [(order.status, order.by) for order in marker.orders] == [
        (state.value, None),
        ("succeeded", None),
        ("succeeded", "bob"),
        ("succeeded", None),
    ]
    assert started.reports.statuses[-1].state == "success"
    assert "policy" in started.reports.statuses[-1].description


def test_a_refusal_of_the_override_ends_the_run_for_the_policy():
    started = reported(engine(), FAILED)
    answered(started, approved=False)
    assert started.states == {POLICY: "failed", COST: "succeeded", GATE: "failed", APPLY: "skipped"}
    assert (started.marker.status, started.marker.reason) == ("failed", "policy: failed")
    assert started.handed_out() == []


def test_nobody_overrides_in_time():
    started = reported(engine(), FAILED)
    started.clock.advance(600)
    started.wake()
    assert started.states == {POLICY: "failed", COST: "succeeded", GATE: "timed_out", APPLY: "skipped"}
    assert started.marker.status == "failed"


@pytest.mark.parametrize(("cost", "policy"), [(FAILED, SUCCEEDED), (FAILED, FAILED), (SUCCEEDED, OrderState.CANCELLED)])
def test_what_it_does_not_override_stops_the_run_as_ever(cost, policy):
    started = reported(engine(), policy, cost)
    assert started.states[GATE] == started.states[APPLY] == "skipped"
    assert started.handed_out() == []


def test_without_the_approval_before_it_an_order_is_skipped():
    started = reported(engine(apply=("policy",)), FAILED)
    assert started.states[APPLY] == "skipped"
    answered(started)
    assert started.states == {POLICY: "failed", COST: "succeeded", GATE: "succeeded", APPLY: "skipped"}
    assert (started.marker.status, started.marker.reason) == ("failed", "policy: failed")


def test_a_policy_that_may_fail_is_asked_about_too():
    started = reported(engine(policy={"must_succeed": False}), FAILED)
    assert started.runs.find_order(RUN_ID, GATE).awaits_answer
    assert started.handed_out() == []


def test_no_answer_counts_where_nothing_is_to_override():
    """Also where an answer comes between the two writes that end the approval by itself."""
    started = reported(engine(), SUCCEEDED)
    rows = started.runs.read(RUN_ID)
    by_num = {row.order_num: row for row in rows.orders}
    between = by_num[GATE].model_copy(update={"status": OrderState.DISPATCHING})
    assert "has nothing to override" in not_answerable(rows.run, between, by_num, started.clock.now())
    assert "has ended already: nothing to override" in not_answerable(
        rows.run, by_num[GATE], by_num, started.clock.now()
    )


class Crash(BaseException):
    pass


@pytest.mark.parametrize("call", range(1, 30))
@pytest.mark.parametrize("policy", [SUCCEEDED, FAILED])
def test_a_crash_at_any_call_lets_nothing_through_and_loses_nothing(policy, call):
    started = engine()
    calls = []

    def crash(name):
        calls.append(name)
        if len(calls) == call:
            raise Crash

    for port in ("runs", "locks", "objects", "workers", "reports"):
        getattr(started.orchestrator._ports, port)._before = crash
    with contextlib.suppress(Crash):
        reported(started, policy)
    calls.extend([""] * 1000)
    started.clock.advance(31)
    started.wake()
    assert set(started.handed_out()) == ({APPLY} if policy is SUCCEEDED else set())
    assert started.states[GATE] == ("succeeded" if policy is SUCCEEDED else "queued")
    if policy is FAILED:
        assert started.runs.find_order(RUN_ID, GATE).awaits_answer
        answered(started)
        assert started.handed_out() == [APPLY]
