"""Plans and applies in the ledger of plans."""

from __future__ import annotations

import contextlib
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from iac_ci_common import keys
from iac_ci_common.errors import ConditionFailed, PortFailed
from iac_ci_common.models.commit_job import JobPart
from iac_ci_common.models.rows import JobScope
from iac_ci_common.models.saved_plan import OrderProject, PlannedFile, PlanRecord, ProjectApply, SavedPlan
from iac_ci_common.models.sealed import Sealed
from iac_ci_common.ports import Transition
from iac_ci_common.project_states import begun, ended, new_state
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import RUN_ID, START
from iac_ci_orchestrator.project_ledger import ProjectLedger
from iac_ci_vcs.provider import CommitState, CommitStatus

sys.path.insert(0, str(Path(__file__).parent))
from engine import Engine

PROJECT = "a" * 64
STATE = keys.project_state(PROJECT)
RECORD = keys.plan_record("github.com/acme/infra", 7, PROJECT)
PLANNED = PlannedFile(sha256="b" * 64, tool="terraform", tool_version="1.11.4", workspace="default")
FILES = Sealed(sha256="c" * 64, size=10, identity="YQ==")
JOB = {
    "git_repo": "https://github.com/acme/infra.git",
    "commit_hash": "d" * 40,
    "git_token_location": "ssm:/iac-ci/token",
    "pr_number": 7,
    "scope": JobScope(base="main", merge_into="e" * 40, configuration="f" * 64),
}
OTHER = ProjectApply(run_id="20251231T000000-aaaaaaaaaaaa", order_num="0003", pull_request=12, began_at=START)


def project(**fields):
    return OrderProject(key=PROJECT, name="live/network", record=RECORD, file="iac-ci.tfplan", **fields)


def saved(generation=0, **fields):
    whole = {
        "run_id": "20251231T000000-bbbbbbbbbbbb",
        "order_num": "0001",
        "order_name": "plan-network",
        "file": "iac-ci.tfplan",
        "planned": PLANNED,
        "files": FILES,
        "generation": generation,
    }
    return SavedPlan(**(whole | fields))


def planning(**engine):
    return Engine([{"order_name": "plan-network"}], projects={"plan-network": project()}, **JOB, **engine)


def applying(plan, **engine):
    orders = [{"order_name": "apply-network"}]
    return Engine(orders, projects={"apply-network": project(applies=True, saved=plan)}, **JOB, **engine)


def state(engine):
    return engine.plans.project_states.get(STATE)


def put_state(engine, **fields):
    engine.plans.write_state(new_state(STATE, START).model_copy(update=fields))


def reason(engine):
    return engine.runs.read(RUN_ID).orders[0].reason


def test_a_plan_is_entered_with_what_it_was_made_from():
    engine = planning()
    put_state(engine, generation=4)
    engine.wake()
    engine.report("0001", planned=PLANNED, files=FILES)
    engine.wake("0001")
    record = engine.plans.plan_records[RECORD]
    assert (record.commit, record.base, record.merge_into) == ("d" * 40, "main", "e" * 40)
    assert (record.configuration, record.pull_request, record.name) == ("f" * 64, 7, "live/network")
    assert (record.saved.planned, record.saved.files, record.saved.generation) == (PLANNED, FILES, 4)
    assert record.usable_until < record.expires_at == START + timedelta(days=14)
    assert state(engine).pulls == (7,)
    assert engine.runs.read(RUN_ID).orders[0].plan_sha256 == PLANNED.sha256
    events = [
        event for event in engine.runs.event_rows.values() if event.kind == "succeeded" and event.order_num == "0001"
    ]
    assert [event.plan_sha256 for event in events] == [PLANNED.sha256]


@pytest.mark.parametrize("destroys", [False, True])
def test_a_plan_to_destroy_is_never_made_again_by_itself(destroys):
    projects = {"plan-network": project(replans=True)}
    engine = Engine([{"order_name": "plan-network"}], projects=projects, **JOB)
    engine.wake()
    engine.report("0001", planned=PLANNED.model_copy(update={"destroys": destroys}), files=FILES)
    engine.wake("0001")
    record = engine.plans.plan_records[RECORD]
    assert (record.saved.planned.destroys, record.replans) == (destroys, not destroys)


def test_an_apply_whose_run_has_ended_is_ended_by_the_next_plan():
    engine = planning()
    engine.plans.write_state(begun(new_state(STATE, START), OTHER, None, START))
    engine.wake()
    assert (state(engine).generation, state(engine).applying) == (2, ())
    assert engine.runs.read(RUN_ID).orders[0].generation == 2


def test_an_apply_of_an_open_run_is_left_alone():
    engine = planning()
    own = OTHER.model_copy(update={"run_id": RUN_ID})
    engine.plans.write_state(begun(new_state(STATE, START), own, None, START))
    engine.wake()
    assert (state(engine).generation, state(engine).applying) == (1, (own,))


def test_an_apply_that_was_queued_again_and_is_cancelled_has_ended():
    engine = applying(saved())
    engine.wake()
    assert len(state(engine).applying) == 1
    sent = engine.runs.find_order(RUN_ID, "0001")
    again = {"status": OrderState.QUEUED, "handed_over": 1, "dispatched_at": None, "order_deadline": None}
    assert not engine.runs.apply([Transition(sent, sent.model_copy(update=again))])
    engine.runs.request_cancel(RUN_ID, "by me")
    engine.wake()
    assert engine.states == {"0001": "cancelled"}
    assert state(engine).applying == ()
    assert state(engine).last.status == "cancelled"


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (OrderState.FAILED, {"planned": PLANNED, "files": FILES}),
        (OrderState.SUCCEEDED, {"planned": PLANNED}),
        (OrderState.SUCCEEDED, {"files": FILES}),
    ],
)
def test_what_is_no_whole_plan_is_not_entered(status, result):
    engine = planning()
    engine.wake()
    engine.report("0001", status, **result)
    engine.wake("0001")
    assert engine.plans.plan_records == {}


def test_a_plan_of_an_older_run_does_not_replace_a_newer_one():
    first = planning()
    first.wake()
    first.report("0001", planned=PLANNED, files=FILES)
    first.wake("0001")
    known = first.plans.plan_records[RECORD]
    newer = known.model_copy(update={"saved": known.saved.model_copy(update={"run_id": f"9{RUN_ID[1:]}"})})
    second = planning()
    second.plans.plan_records[RECORD] = newer
    second.wake()
    second.report("0001", planned=PLANNED, files=FILES)
    second.wake("0001")
    assert second.plans.plan_records[RECORD] == newer
    assert second.states == {"0001": "succeeded"}


@pytest.mark.parametrize("status", [OrderState.SUCCEEDED, OrderState.FAILED, OrderState.TIMED_OUT])
def test_an_apply_begins_before_its_worker_and_ends_with_it(status):
    seen = []
    engine = applying(saved(generation=2), before=lambda name: seen.append((name, state(engine).generation)))
    put_state(engine, generation=2)
    seen.clear()
    engine.wake()
    starts = [generation for name, generation in seen if name == "workers.start_lambda"]
    assert starts == [3]
    assert state(engine).applying[0].plan_sha256 == PLANNED.sha256
    engine.report("0001", status)
    engine.wake("0001")
    assert (state(engine).generation, state(engine).applying) == (4, ())
    assert (state(engine).last.status, state(engine).last.pull_request) == (status.value, 7)
    assert engine.runs.read(RUN_ID).orders[0].plan_sha256 == PLANNED.sha256


@pytest.mark.parametrize("stands_at", ["plans.states", "plans.write_state"])
@pytest.mark.parametrize("plan", [None, saved()])
def test_a_process_that_stood_still_begins_no_apply_that_another_one_has_ended(stands_at, plan):
    def overtaken(name):
        # The row of the project is read a second time to begin the apply.
        if name == stands_at and standing and engine.states["0001"] != "queued":
            standing.clear()
            engine.clock.advance(40)
            engine.wake()
            assert engine.handed_out() == ["0001"]
            engine.report("0001")
            engine.wake("0001")
            assert state(engine).applying == ()

    standing = [True]
    engine = applying(plan, before=overtaken)
    with contextlib.suppress(ConditionFailed):
        engine.wake()
    assert not standing
    assert (state(engine).generation, state(engine).applying) == (2, ())
    assert state(engine).last.status == "succeeded"
    assert engine.handed_out() == []
    assert engine.states == {"0001": "succeeded"}


def test_a_process_that_stood_still_begins_no_apply_that_was_ended_before_it_began():
    def ended_from_outside(name):
        if name == "plans.write_state" and standing:
            standing.clear()
            engine.clock.advance(40)
            engine.report("0001", OrderState.TIMED_OUT)
            engine.wake("0001")

    standing = [True]
    engine = applying(saved(), before=ended_from_outside)
    with contextlib.suppress(ConditionFailed):
        engine.wake()
    assert not standing
    assert (state(engine).generation, state(engine).applying) == (0, ())
    assert engine.states == {"0001": "timed_out"}


def test_a_plan_is_refused_after_another_apply():
    engine = applying(saved(generation=0))
    put_state(engine, generation=2, last=OTHER.model_copy(update={"status": "succeeded"}))
    engine.wake()
    assert engine.handed_out() == []
    assert "was applied by pull request 12" in reason(engine)
    assert reason(engine).endswith("plan it again with /iac-ci plan")
    assert state(engine).generation == 2
    engine.wake()
    engine.assert_ended_well()


def test_a_plan_is_refused_while_another_apply_is_under_way():
    engine = applying(saved(generation=1))
    engine.plans.write_state(begun(new_state(STATE, START), OTHER, None, START))
    engine.wake()
    assert engine.handed_out() == []
    assert "is being applied by pull request 12" in reason(engine)


@pytest.mark.parametrize(
    "plan", [saved(generation=3), saved(code_sha256="9" * 64), saved(usable_until=START)], ids=["apply", "code", "age"]
)
def test_the_way_on_is_what_made_the_plan(plan):
    applies = project(applies=True, saved=plan, planner="/iac-ci preview")
    engine = Engine([{"order_name": "apply-network"}], projects={"apply-network": applies}, **JOB)
    engine.wake()
    assert reason(engine).endswith("; plan it again with /iac-ci preview")


def test_a_plan_is_entered_with_what_makes_it_again():
    planned = project(planner="/iac-ci preview")
    engine = Engine([{"order_name": "plan-network"}], projects={"plan-network": planned}, **JOB)
    engine.wake()
    engine.report("0001", planned=PLANNED, files=FILES)
    engine.wake("0001")
    assert engine.plans.plan_records[RECORD].planner == "/iac-ci preview"


def test_what_was_forgotten_makes_a_plan_stale():
    engine = applying(saved(generation=3))
    engine.wake()
    assert engine.handed_out() == []
    assert "is stale" in reason(engine)


STALE = {
    "other files": (saved(code_sha256="9" * 64), "it was made from other files than those of this commit"),
    "it expired while the apply waited": (
        saved(usable_until=START + timedelta(minutes=10)),
        "the plan expired on 2026-01-01 at 00:10 UTC",
    ),
}
"""Plans that are refused when their apply is dispatched, with the words of the reason."""

WAITED = timedelta(minutes=10)


@pytest.mark.parametrize("case", STALE)
def test_a_plan_that_became_stale_before_its_apply_began_is_refused(case):
    plan, words = STALE[case]
    engine = applying(plan)
    engine.clock.advance(WAITED.total_seconds())
    engine.wake()
    assert engine.handed_out() == []
    assert words in reason(engine)
    assert reason(engine).endswith("; plan it again with /iac-ci plan")
    assert (state(engine).generation, state(engine).applying, state(engine).last) == (0, (), None)
    engine.wake()
    engine.assert_ended_well()


@pytest.mark.parametrize("until", [None, START + WAITED + timedelta(seconds=1)])
def test_a_plan_that_has_not_expired_is_applied(until):
    engine = applying(saved(usable_until=until))
    engine.clock.advance(WAITED.total_seconds())
    engine.wake()
    assert engine.handed_out() == ["0001"]


def test_a_plan_with_a_problem_is_refused():
    engine = applying(saved(planned=PLANNED.model_copy(update={"problem": "a provider was changed"})))
    engine.wake()
    assert engine.handed_out() == []
    assert "a provider was changed" in reason(engine)


def test_an_apply_that_plans_for_itself_makes_plans_stale():
    engine = applying(None)
    put_state(engine, generation=5)
    engine.wake()
    assert engine.handed_out() == ["0001"]
    assert state(engine).generation == 6


def other_plan(number, **fields):
    """Return the plan of another pull request."""
    whole = {
        "key": keys.plan_record("github.com/acme/infra", number, PROJECT),
        "project": PROJECT,
        "name": "live/network",
        "pull_request": number,
        "repository": JOB["git_repo"],
        "commit": "9" * 40,
        "base": "main",
        "saved": saved(run_id=OTHER.run_id),
        "planned_at": START,
        "usable_until": START + timedelta(days=13),
        "expires_at": START + timedelta(days=14),
    }
    return PlanRecord(**(whole | fields))


def test_other_pull_requests_are_told_once_that_their_plans_are_stale():
    engine = applying(saved())
    put_state(engine, pulls=(7, 12, 13))
    engine.plans.write_record(other_plan(12))
    part = JobPart(12, "main", OTHER.run_id, {"plan-network": "succeeded"}, whole=True)
    own = CommitStatus("9" * 40, "iac-ci/plan", CommitState.SUCCESS, "")
    target = engine.runs.read(RUN_ID).run.report
    engine.reports.mark_job(target, own, part)
    engine.run_to_the_end()
    assert [number for number, _ in engine.reports.notices] == [12]
    (text,) = [text for _, text in engine.reports.notices]
    assert "The plan of live/network is stale" in text
    assert f"Pull request 7 applied the project (run `{RUN_ID}`)" in text
    status = engine.reports.statuses[-2]
    assert (status.commit, status.context, status.state) == ("9" * 40, "iac-ci/plan", CommitState.PENDING)
    assert engine.plans.plan_records[other_plan(12).key].has_stale_notice
    engine.wake()
    assert len(engine.reports.notices) == 1


def test_they_are_told_too_if_the_apply_has_begun_and_its_worker_cannot_be_started(monkeypatch):
    engine = applying(saved())
    put_state(engine, pulls=(7, 12))
    engine.plans.write_record(other_plan(12))

    def refuse(work):
        raise PortFailed("there is no such function")

    monkeypatch.setattr(engine.workers, "start_lambda", refuse)
    engine.wake()
    assert engine.runs.read(RUN_ID).orders[0].status is OrderState.FAILED
    assert state(engine).generation == 2
    assert [number for number, _ in engine.reports.notices] == [12]


def test_an_apply_that_is_refused_tells_nobody():
    engine = applying(saved(generation=5))
    put_state(engine, pulls=(7, 12), generation=1)
    engine.plans.write_record(other_plan(12))
    engine.wake()
    assert engine.runs.read(RUN_ID).orders[0].status is OrderState.FAILED
    assert engine.reports.notices == []


def test_of_many_pull_requests_those_with_the_newest_plans_get_a_comment():
    engine = applying(saved())
    numbers = [*range(100, 125)]
    put_state(engine, pulls=(7, *numbers))
    for number in numbers:
        # The lowest numbers have the newest plans.
        engine.plans.write_record(other_plan(number, planned_at=START - timedelta(minutes=number)))
    engine.run_to_the_end()
    assert [number for number, _ in engine.reports.notices] == [*reversed(range(100, 120))]


def test_a_pull_request_that_was_told_hears_of_its_new_plan():
    engine = planning()
    engine.plans.write_record(other_plan(7, has_stale_notice=True))
    engine.wake()
    engine.report("0001", planned=PLANNED, files=FILES)
    engine.wake("0001")
    (told,) = engine.reports.notices
    assert told[0] == 7
    assert f"live/network was planned again in run `{RUN_ID}`" in told[1]
    assert not engine.plans.plan_records[RECORD].has_stale_notice


def test_a_code_host_that_fails_does_not_fail_the_run():
    engine = applying(saved())
    put_state(engine, pulls=(12,))
    engine.plans.write_record(other_plan(12))

    def fails(*_, **__):
        raise PortFailed("no answer")

    engine.reports.notify_stale = fails
    engine.run_to_the_end()
    engine.assert_ended_well()
    assert not engine.plans.plan_records[other_plan(12).key].has_stale_notice
    reasons = [event.reason for event in engine.runs.event_rows.values() if event.kind == "comment_failed"]
    assert reasons == ["pull request 12 got no comment about its plan: no answer"]


def overtaken(*, under_way=False, orders=1):
    """Return an engine whose plan an apply of another pull request overtakes before it is reported."""
    names = [f"plan-{number}" for number in range(orders)]
    engine = Engine([{"order_name": name} for name in names], projects={names[0]: project()}, flow_label="flow", **JOB)
    engine.wake()
    state_before = new_state(STATE, START)
    applying_one = begun(state_before, OTHER, None, START)
    applied = applying_one if under_way else ended(applying_one, OTHER.model_copy(update={"status": "failed"}), START)
    engine.plans.write_state(applied)
    engine.report("0001", planned=PLANNED, files=FILES)
    engine.wake("0001")
    return engine


def test_a_plan_that_an_apply_overtook_is_shown_as_stale():
    engine = overtaken()
    record = engine.plans.plan_records[RECORD]
    assert (record.saved.generation, record.has_stale_notice, state(engine).pulls) == (0, True, (7,))
    ((number, text),) = engine.reports.notices
    assert number == 7
    assert "The plan of live/network is stale" in text
    assert f"Pull request 12 applied the project (run `{OTHER.run_id}`)" in text
    status = engine.reports.statuses[-1]
    assert (status.commit, status.context, status.state) == ("d" * 40, "iac-ci/flow", CommitState.PENDING)
    engine.assert_ended_well()


def test_a_plan_that_was_applied_before_its_run_ended_is_not_stale():
    engine = overtaken(orders=2)
    own = OTHER.model_copy(update={"pull_request": 7, "plan_sha256": PLANNED.sha256, "status": "succeeded"})
    engine.plans.project_states[STATE] = state(engine).model_copy(update={"last": own})
    engine.report("0002")
    engine.wake("0002")
    assert engine.reports.notices == []
    assert engine.reports.statuses[-1].state is CommitState.SUCCESS


def test_the_last_status_of_its_run_does_not_hide_that_a_plan_is_stale():
    engine = overtaken(orders=2)
    assert engine.reports.notices == []
    engine.report("0002")
    engine.wake("0002")
    assert [number for number, _ in engine.reports.notices] == [7]
    assert engine.reports.statuses[-1].state is CommitState.PENDING


def test_the_end_of_an_apply_that_is_under_way_comments_on_the_plans_that_were_made_meanwhile():
    planned = overtaken(under_way=True)
    assert planned.reports.notices == []
    own = saved(generation=0, run_id=OTHER.run_id)
    engine = applying(own)
    engine.plans = planned.plans
    ledger = ProjectLedger(planned.plans, planned.runs, planned.objects, planned.clock, 14)
    run, (order,) = engine.runs.read(RUN_ID).run, engine.runs.read(RUN_ID).orders
    order = order.model_copy(update={"started_at": START})
    planned.plans.write_state(ended(state(planned), OTHER, START))
    assert [record.pull_request for record in ledger.stale(run, order)] == [7]
    # Its own plan, which it applied, is done and not stale.
    applied = order.model_copy(update={"project": project(applies=True, saved=saved(run_id=RUN_ID))})
    assert ledger.stale(run, applied) == []
    # An apply that plans for itself asks nobody of its pull request to plan again.
    assert ledger.stale(run, order.model_copy(update={"project": project(applies=True)})) == []


def test_a_plan_that_is_stale_at_once_is_not_called_planned_again():
    engine = Engine([{"order_name": "plan-network"}], projects={"plan-network": project()}, flow_label="flow", **JOB)
    engine.plans.write_record(other_plan(7, has_stale_notice=True))
    engine.wake()
    put_state(engine, generation=2, last=OTHER)
    engine.report("0001", planned=PLANNED, files=FILES)
    engine.wake("0001")
    ((number, text),) = engine.reports.notices
    assert number == 7
    assert "is stale" in text


def replanning(**fields):
    """Return an engine whose apply makes the plan of pull request 12 stale, which is to be made again."""
    engine = applying(saved(), **fields)
    put_state(engine, pulls=(7, 12))
    engine.plans.write_record(other_plan(12, replans=True, planner="/iac-ci plan"))
    return engine


def test_a_stale_plan_is_made_again_by_itself_where_the_project_wants_that():
    engine = replanning()
    engine.plans.write_record(other_plan(13))
    put = engine.plans.project_states[STATE]
    engine.plans.project_states[STATE] = put.model_copy(update={"pulls": (7, 12, 13)})
    engine.run_to_the_end()
    assert sorted(number for number, _ in engine.reports.notices) == [12, 13]
    (replan,) = engine.invoker.replans
    assert (replan.number, replan.plan, replan.project) == (12, other_plan(12).key, PROJECT)
    assert (replan.repository, replan.applied_by, replan.applied_by_pull_request) == (JOB["git_repo"], RUN_ID, 7)
    assert replan.applied_by_order == "0001"
    texts = dict(engine.reports.notices)
    assert texts[12].endswith(
        "The engine plans it again. If no new plan follows, plan it with the comment `/iac-ci plan`."
    )
    assert "The engine plans it again" not in texts[13]


def test_the_plan_of_a_closed_pull_request_is_not_made_again():
    engine = replanning()
    engine.reports.closed.add(12)
    engine.run_to_the_end()
    assert (engine.reports.notices, engine.invoker.replans) == ([], [])
    assert engine.plans.plan_records[other_plan(12).key].has_stale_notice


def test_a_comment_that_fails_keeps_nobody_from_planning_again():
    engine = replanning()

    def fails(*_, **__):
        raise PortFailed("no answer")

    engine.reports.notify_stale = fails
    engine.run_to_the_end()
    assert [replan.number for replan in engine.invoker.replans] == [12]


def test_a_comment_promises_no_plan_that_could_not_be_started():
    engine = replanning()

    def fails(_):
        raise PortFailed("AccessDenied")

    engine.invoker.plan_again = fails
    engine.run_to_the_end()
    engine.assert_ended_well()
    (_, first), (_, last) = engine.reports.notices
    assert "The engine plans it again" in first
    assert last.endswith("Plan it again with the comment `/iac-ci plan`.")
    reasons = [event.reason for event in engine.runs.event_rows.values() if event.kind == "replan_failed"]
    assert reasons == ["pull request 12 is not planned again by itself: AccessDenied"]


def test_an_overtaken_plan_is_made_again_too():
    planned = project(replans=True)
    engine = Engine([{"order_name": "plan"}], projects={"plan": planned}, flow_label="flow", **JOB)
    engine.wake()
    put_state(engine, generation=2, last=OTHER)
    engine.report("0001", planned=PLANNED, files=FILES)
    engine.wake("0001")
    assert engine.plans.plan_records[RECORD].replans
    (replan,) = engine.invoker.replans
    assert (replan.number, replan.applied_by, replan.applied_by_pull_request) == (7, OTHER.run_id, 12)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(60))
def test_after_a_crash_at_any_call_a_stale_plan_is_made_again(at, when):
    calls = []

    def die(name):
        calls.append(name)
        if len(calls) == at + 1:
            raise Crash

    engine = replanning(**{when: die})
    for _ in range(12):
        try:
            engine.wake()
        except Crash:
            engine.clock.advance(120)
        if engine.handed_out() and keys.result(RUN_ID, "0001") not in engine.objects.list(keys.callbacks(RUN_ID)):
            engine.report("0001")
        lock = engine.locks.read(RUN_ID)
        if lock is not None and lock.completed:
            break
    engine.assert_ended_well()
    # Init takes those of one apply for one.
    assert {(replan.number, replan.applied_by) for replan in engine.invoker.replans} == {(12, RUN_ID)}
    assert {number for number, _ in engine.reports.notices} == {12}


class Crash(BaseException):
    """The process dies."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(60))
def test_after_a_crash_at_any_call_the_apply_ran_once_and_its_end_is_known(at, when):
    calls = []

    def die(name):
        calls.append(name)
        if len(calls) == at + 1:
            raise Crash

    engine = applying(saved(generation=2), **{when: die})
    engine.plans.write_state(new_state(STATE, START).model_copy(update={"generation": 2}))
    started = []
    for _ in range(12):
        try:
            engine.wake()
        except Crash:
            engine.clock.advance(120)
        started += engine.handed_out()
        if started and keys.result(RUN_ID, "0001") not in engine.objects.list(keys.callbacks(RUN_ID)):
            engine.report("0001")
        if engine.states == {"0001": "succeeded"} and engine.done.list(""):
            break
    assert engine.states == {"0001": "succeeded"}
    assert started
    assert (state(engine).generation, state(engine).applying) == (4, ())
    assert state(engine).last.status == "succeeded"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(50))
def test_after_a_crash_at_any_call_an_overtaken_plan_is_shown_as_stale(at, when):
    calls = []

    def die(name):
        calls.append(name)
        if len(calls) == at + 1:
            raise Crash

    fields = {"projects": {"plan-network": project()}, "flow_label": "flow", **JOB, when: die}
    engine = Engine([{"order_name": "plan-network"}], **fields)
    handed_out = False
    for _ in range(12):
        try:
            engine.wake()
        except Crash:
            engine.clock.advance(120)
        if engine.handed_out() and not handed_out:
            handed_out = True
            put_state(engine, generation=2, last=OTHER)
            engine.report("0001", planned=PLANNED, files=FILES)
        lock = engine.locks.read(RUN_ID)
        if handed_out and lock is not None and lock.completed:
            break
    engine.assert_ended_well()
    assert engine.plans.plan_records[RECORD].has_stale_notice
    assert {number for number, _ in engine.reports.notices} == {7}
    assert engine.reports.statuses[-1].state is CommitState.PENDING
