"""The pull request is told of what happens: not too often, and always of the end."""

from __future__ import annotations

from engine import Engine

from iac_ci_common.models.changes import Changes, Operation
from iac_ci_common.models.plan_text import PlannedResource, PlanText
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import RUN_ID

PULL_REQUEST = {"git_repo": "https://example.com/a/b", "commit_hash": "a" * 40, "pr_number": 1}


def body(engine):
    return engine.reports.bodies[RUN_ID]


def chain(count):
    return [{"dependencies": [f"order-{number}"] if number else []} for number in range(count)]


def named(orders):
    return [{"order_name": f"order-{number + 1}", **order} for number, order in enumerate(orders)]


def step(engine, num, status=OrderState.SUCCEEDED, seconds=0):
    engine.clock.advance(seconds)
    engine.report(num, status)
    engine.wake(num)


def test_many_changes_in_a_moment_cost_one_edit():
    engine = Engine([*named([{} for _ in range(20)]), {"order_name": "slow"}], **PULL_REQUEST)
    engine.wake()
    engine.clock.advance(10)
    for number in range(1, 21):
        step(engine, f"{number:04d}")
    assert engine.calls["reports.publish"] == 1


def test_an_edit_comes_once_five_seconds_are_over_and_shows_who_runs():
    engine = Engine(named(chain(4)), **PULL_REQUEST)
    engine.wake()
    step(engine, "0001", seconds=4)
    assert engine.calls["reports.publish"] == 0
    step(engine, "0002", seconds=2)
    assert engine.calls["reports.publish"] == 1
    assert "| order\\-2 | succeeded |" in body(engine)
    assert "| order\\-3 | running |" in body(engine)
    assert "| order\\-4 | queued |" in body(engine)
    step(engine, "0003", seconds=1)
    assert engine.calls["reports.publish"] == 1
    assert engine.locks.read(RUN_ID).comment_behind


def test_what_was_left_out_is_told_by_the_next_pass_though_nothing_has_changed():
    engine = Engine(named(chain(2)), **PULL_REQUEST)
    engine.wake()
    step(engine, "0001")
    assert engine.locks.read(RUN_ID).comment_behind
    engine.claim("0002")
    engine.clock.advance(5)
    engine.wake()
    assert "| order\\-1 | succeeded |" in body(engine)
    assert not engine.locks.read(RUN_ID).comment_behind
    engine.clock.advance(60)
    engine.wake()
    assert engine.calls["reports.publish"] == 1


def test_the_end_is_told_at_once_with_the_logs_of_what_failed():
    engine = Engine(named([{}, {}]), **PULL_REQUEST)
    engine.wake()
    engine.log_tail, engine.failed_command = "Error: no such bucket\n", "terraform apply"
    step(engine, "0001", OrderState.FAILED)
    step(engine, "0002")
    assert "`terraform apply` failed." in body(engine)
    assert "Error: no such bucket" in body(engine)
    assert body(engine).count("<details>") == 1


def test_a_run_without_a_pull_request_says_nothing():
    engine = Engine(named(chain(3)))
    engine.run_to_the_end()
    assert engine.calls["reports.publish"] == 0


def test_the_last_comment_shows_the_plans_text_and_earlier_ones_the_counts_alone():
    engine = Engine(named(chain(2)), **PULL_REQUEST)
    engine.wake()
    plan = PlanText(resources=(PlannedResource(address="x.gone", action="delete", text="-   resource"),))
    changes = Changes(operation=Operation.PLANNED, destroy=1)
    engine.clock.advance(6)
    engine.report("0001", OrderState.SUCCEEDED, changes=changes, plan=plan)
    engine.wake("0001")
    assert "| `+0 ~0 -1` |" in body(engine)
    assert "-   resource" not in body(engine)
    engine.report("0002", OrderState.SUCCEEDED, changes=Changes(operation=Operation.PLANNED), plan=plan)
    engine.wake("0002")
    assert "destroys x.gone" in body(engine)
    assert body(engine).count("-   resource") == 1


def test_unknown_changes_are_shown_as_unknown():
    engine = Engine(named(chain(1)), **PULL_REQUEST)
    engine.wake()
    engine.report("0001", OrderState.SUCCEEDED, changes_unknown=True)
    engine.wake("0001")
    assert "| unknown |" in body(engine)
