"""Exit codes of commands, conditions and repetition: what a job may say, and what rows and manifests make of it."""

from __future__ import annotations

import json

import pytest

from iac_ci_common.errors import InputProblems
from iac_ci_common.graph import Readiness, readiness
from iac_ci_common.initial_rows import build_rows
from iac_ci_common.job_validation.check import check_job
from iac_ci_common.job_validation.rules import Rules
from iac_ci_common.models.job import Job
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import order_row, stored_job

S = OrderState
PLAN = {"order_name": "plan", "cmds": [{"run": "terraform plan -detailed-exitcode", "ok": [0, 2]}]}
APPLY = {"order_name": "apply", "cmds": ["true"], "dependencies": ["plan"], "when": {"plan": "changed"}}


def checked(*orders):
    job = {"username": "me", "orders": [{"timeout": 60, **order} for order in orders]}
    return check_job(json.dumps(job).encode(), Rules())


def problems(*orders):
    with pytest.raises(InputProblems) as refused:
        checked(*orders)
    return [(problem.where, problem.what) for problem in refused.value.problems]


def test_a_command_is_a_text_or_names_its_exit_codes():
    job = checked({**PLAN, "cmds": ["terraform init", *PLAN["cmds"]]}, APPLY)
    assert job.orders[0].commands == ("terraform init", "terraform plan -detailed-exitcode")
    assert Job.model_validate_json(job.model_dump_json()) == job


@pytest.mark.parametrize("code", [0, 1, 126, 128, 193, 255])
def test_every_exit_code_that_no_signal_has_may_be_ok(code):
    assert checked({"cmds": [{"run": "./tool", "ok": [code]}]}).orders[0].cmds[0].ok == [code]


def test_every_problem_of_exit_codes_is_reported_at_once():
    cmds = [
        {"run": " ", "ok": [0, 0, 256, 137, -1, "2", True]},
        {"commnd": "x"},
        3,
        {"run": "", "ok": []},
        {"run": "a", "okk": [1]},
    ]
    retry = {"attempts": 1, "on": [0, 3, 3, 300], "times": 2}
    whole = "must be a whole number without quotes, point or exponent"
    assert sorted(problems({"cmds": cmds, "retry": retry})) == sorted(
        [
            ("orders[0].cmds[0].run", "is empty"),
            ("orders[0].cmds[0].ok[1]", "0 is in the list more than once; remove one"),
            ("orders[0].cmds[0].ok[2]", "must be at most 255"),
            (
                "orders[0].cmds[0].ok[3]",
                "137 is the exit code of a command that signal 9 has ended, which is never ok",
            ),
            ("orders[0].cmds[0].ok[4]", "must be at least 0"),
            ("orders[0].cmds[0].ok[5]", whole),
            ("orders[0].cmds[0].ok[6]", whole),
            ("orders[0].cmds[1].commnd", "unknown field 'commnd'; did you mean 'run'?"),
            ("orders[0].cmds[2]", "must be text"),
            ("orders[0].cmds[3].run", "is empty"),
            ("orders[0].cmds[3].ok", "is empty"),
            ("orders[0].cmds[4].okk", "unknown field 'okk'; did you mean 'ok'?"),
            ("orders[0].retry", "needs idempotent: true, because the commands of the order run again"),
            ("orders[0].retry.attempts", "must be at least 2"),
            ("orders[0].retry.on[2]", "3 is in the list more than once; remove one"),
            ("orders[0].retry.on[3]", "must be at most 255"),
            ("orders[0].retry.times", "unknown field 'times'"),
        ]
    )


def test_a_code_that_fails_no_command_repeats_nothing():
    cmds = [{"run": "a", "ok": [0, 3]}, {"run": "b", "ok": [0, 3, 4]}]
    order = {"cmds": cmds, "idempotent": True, "retry": {"attempts": 2, "on": [0, 3, 4]}}
    never = "is a success of every command, so it never fails the order"
    assert problems(order) == [("orders[0].retry.on[0]", f"0 {never}"), ("orders[0].retry.on[1]", f"3 {never}")]


def test_every_problem_of_conditions_is_reported_at_once():
    plain = {"order_name": "plain", "cmds": ["true"]}
    last = {
        "order_name": "last",
        "cmds": ["true"],
        "dependencies": ["plan", "plain"],
        "when": {"plan": "unchanged", "plain": "changed", "nobody": "changed", "last": "changed", "apply": "changed"},
    }
    never = "can never hold: 'plain' is never changed; name an exit code other than 0 in ok of one of its cmds"
    assert sorted(problems(PLAN, plain, APPLY, last)) == sorted(
        [
            ("orders[3].when.plan", "must be 'changed'"),
            ("orders[3].when.plain", never),
            ("orders[3].when.nobody", "unknown order 'nobody'"),
            ("orders[3].when.last", "is the order itself; name an order that ends before"),
            ("orders[3].when.apply", "is about 'apply', on which the order does not depend; add it to dependencies"),
        ]
    )


@pytest.mark.parametrize("cmds", [[5], 5, [{"run": "x", "ok": 2}]])
def test_commands_that_cannot_be_read_are_no_problem_of_a_condition(cmds):
    assert [where.split(".")[0] for where, _ in problems({**PLAN, "cmds": cmds}, APPLY)] == ["orders[0]"]


def test_rows_hold_conditions_and_attempts():
    retried = {"idempotent": True, "retry": {"attempts": 3, "on": [7, 75]}}
    rows = build_rows(
        stored_job([{**PLAN, "queue_id": "p"}, {**APPLY, "when": {"p": "changed"}}, retried]), max_parallel=9
    )
    plan, apply, third = rows.orders
    assert (plan.when, plan.attempts, plan.attempt) == ((), 1, 1)
    assert apply.when == ("0001",)
    assert (third.attempts, third.retry_on) == (3, (7, 75))


CHANGED = {"status": S.SUCCEEDED, "changed": True}
CONDITIONS = [
    (CHANGED, Readiness.READY, None),
    ({"status": S.SUCCEEDED}, Readiness.NOT_NEEDED, "order-1 is not changed, which `when` requires"),
    ({"status": S.RUNNING}, Readiness.WAITING, None),
    ({"status": S.FAILED}, Readiness.BLOCKED, "order-1 failed"),
    (
        {"status": S.FAILED, "must_succeed": False},
        Readiness.BLOCKED,
        "order-1 failed and is not changed, which `when` requires",
    ),
    ({"status": S.SKIPPED}, Readiness.BLOCKED, "order-1 was skipped"),
    ({"status": S.SKIPPED, "not_needed": True}, Readiness.NOT_NEEDED, "order-1 was not needed"),
    ({"status": S.SKIPPED, "not_needed": True, "must_succeed": False}, Readiness.NOT_NEEDED, "order-1 was not needed"),
]


@pytest.mark.parametrize(("before", "expected", "reason"), CONDITIONS)
def test_a_condition_decides_with_its_reason(before, expected, reason):
    order = order_row(2, after=[1], when=("0001",))
    assert readiness(order, {"0001": order_row(1, **before)}) == (expected, reason)


def test_what_failed_counts_more_than_what_is_not_needed():
    rows = {"0001": order_row(1, status=S.SUCCEEDED), "0002": order_row(2, status=S.FAILED)}
    assert readiness(order_row(3, after=[1, 2], when=("0001",)), rows) == (Readiness.BLOCKED, "order-2 failed")


def test_a_condition_says_nothing_about_those_that_do_not_name_it():
    rows = {"0001": order_row(1, status=S.SUCCEEDED)}
    assert readiness(order_row(2, after=[1]), rows) == (Readiness.READY, None)
