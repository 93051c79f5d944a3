"""Orders take concurrency groups before they start and leave them at their end."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from iac_ci_common import keys
from iac_ci_common.errors import PortFailed
from iac_ci_common.groups import Wanted, ask, holders, new_group
from iac_ci_common.initial_rows import build_rows
from iac_ci_common.models.result import Reporter, Result
from iac_ci_common.models.saved_plan import OrderProject
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import RUN_ID, START, TRACE_ID, order_row, run_row, stored_job
from iac_ci_orchestrator.group_requests import named_request, planned_alone, project_request

sys.path.insert(0, str(Path(__file__).parent))
from engine import Engine

PROJECT = "a" * 64
GROUP = keys.project_group(PROJECT)
DEPLOY = keys.named_group("api", "deploy")
JOB = {"git_repo": "https://github.com/acme/infra.git", "commit_hash": "d" * 40, "pr_number": 7}


def run_id(number):
    return f"20260101T0000{number:02d}-{number:012x}"


def project(**fields):
    return OrderProject(key=PROJECT, name="live/network", **fields)


PLAN, APPLY = project(), project(applies=True)
IN_GROUP = {"concurrency": {"group": "deploy"}}
NEWEST = {"concurrency": {"group": "deploy", "queue": "newest"}}


class Runs(Engine):
    """Several runs on one engine."""

    def __init__(self, **jobs):
        super().__init__([{"order_name": "other"}])
        for name, (orders, projects, fields) in jobs.items():
            self.add(int(name[1:]), orders, projects, **fields)

    def add(self, number, orders, projects=None, ledger=None, **fields):
        stored = stored_job(orders, projects=projects or {}, **fields)
        stored = stored.model_copy(update={"run_id": run_id(number), "ledger": ledger})
        self.runs.insert(*build_rows(stored, max_parallel=stored.job.max_parallel or 100))
        self.wake_run(number)

    def wake_run(self, number, *nums):
        self.orchestrator.wake(run_id(number), frozenset(nums) or frozenset({"0000"}))

    def end(self, number, num="0001", status=OrderState.SUCCEEDED, wake=True):
        now = self.clock.now()
        fields = {"run_id": run_id(number), "order_num": num, "status": status, "reported_by": Reporter.WORKER}
        result = Result(**fields, started_at=now, ended_at=now)
        self.objects.create(keys.result(run_id(number), num), result.model_dump_json().encode())
        if wake:
            self.wake_run(number, num)

    def row(self, number, num="0001"):
        return self.runs.read(run_id(number)).orders[int(num) - 1]

    def started(self):
        return [(int(work.run_id[13:15]), work.order_num) for work in self._works()]

    def _works(self):
        works, self.workers.lambda_works = self.workers.lambda_works, []
        return works

    def woken(self):
        """Return the runs that were woken since the last look."""
        found = [key.split("/")[3] for key in self.objects.objects if key.endswith("/0000/result.json")]
        for key in [key for key in self.objects.objects if key.endswith("/0000/result.json")]:
            del self.objects.objects[key]
        return [int(one[13:15]) for one in found]


def orders(*names, **fields):
    return [{"order_name": name, **fields} for name in names]


def test_two_applies_of_one_project_run_one_after_the_other():
    runs = Runs(
        r1=(orders("apply-network"), {"apply-network": APPLY}, JOB),
        r2=(orders("apply-network"), {"apply-network": APPLY}, {}),
    )
    assert runs.started() == [(1, "0001")]
    assert runs.row(2).status is OrderState.QUEUED
    waiting = f"run {run_id(1)} of pull request 7 (apply-network), first in line"
    assert runs.row(2).waiting_for == waiting
    events = [event for event in runs.runs.events(TRACE_ID) if event.run_id == run_id(2)]
    assert f"waits for {waiting}" in {event.reason for event in events}
    runs.end(1)
    assert runs.woken() == [2]
    runs.wake_run(2)
    assert runs.started() == [(2, "0001")]
    assert runs.row(2).waiting_for is None


def test_plans_of_a_project_run_beside_each_other_and_wait_for_its_apply():
    runs = Runs(r1=(orders("plan"), {"plan": PLAN}, {}), r2=(orders("plan"), {"plan": PLAN}, {}))
    assert runs.started() == [(1, "0001"), (2, "0001")]
    runs.add(3, orders("apply"), {"apply": APPLY})
    runs.add(4, orders("plan"), {"plan": PLAN})
    assert runs.started() == []
    runs.end(1)
    assert runs.woken() == []
    runs.end(2)
    assert runs.woken() == [3]
    runs.wake_run(4)
    assert runs.started() == []
    runs.wake_run(3)
    assert runs.started() == [(3, "0001")]
    runs.end(3)
    assert runs.woken() == [4]


def test_nobody_applies_between_a_plan_and_the_order_that_applies_it():
    pair = [{"order_name": "plan"}, {"order_name": "apply", "dependencies": ["plan"]}]
    runs = Runs(r1=(pair, {"plan": PLAN, "apply": APPLY}, {}), r2=(pair, {"plan": PLAN, "apply": APPLY}, {}))
    assert runs.started() == [(1, "0001")]
    runs.end(1)
    assert runs.started() == [(1, "0002")]
    assert runs.woken() == []
    runs.end(1, "0002")
    runs.wake_run(2)
    assert runs.started() == [(2, "0001")]


def test_orders_in_a_group_wait_within_a_run_too_and_take_no_slot():
    grouped = [*orders("a", "b", **IN_GROUP), {"order_name": "c"}, {"order_name": "d"}]
    runs = Runs(r1=(grouped, {}, {"max_parallel": 2}))
    assert runs.started() == [(1, "0001"), (1, "0003")]
    assert runs.row(1, "0002").waiting_for == f"run {run_id(1)} (a), first in line"
    runs.end(1, "0003")
    assert runs.started() == [(1, "0004")]
    runs.end(1, "0001")
    assert runs.started() == [(1, "0002")]


def test_a_run_holds_the_group_of_its_job_until_its_end():
    pair = [{"order_name": "first"}, {"order_name": "second", "dependencies": ["first"]}]
    runs = Runs(r1=(pair, {}, IN_GROUP), r2=(orders("only"), {}, IN_GROUP))
    assert runs.started() == [(1, "0001")]
    assert runs.row(2).waiting_for == f"run {run_id(1)} (flow), first in line"
    runs.end(1)
    runs.wake_run(2)
    assert runs.started() == [(1, "0002")]
    runs.end(1, "0002")
    assert runs.woken() == [2]
    runs.wake_run(2)
    assert runs.started() == [(2, "0001")]


def test_an_order_waits_for_its_named_group_before_it_asks_for_that_of_its_project():
    runs = Runs(r1=(orders("one", **IN_GROUP), {}, {}), r2=(orders("two", **IN_GROUP), {"two": APPLY}, {}))
    assert GROUP not in runs.groups.groups
    runs.end(1)
    runs.wake_run(2)
    assert [one.run_id for one in holders(runs.groups.groups[GROUP])] == [run_id(2)]


def test_a_cancelled_order_leaves_the_line():
    runs = Runs(r1=(orders("a", **IN_GROUP), {}, {}), r2=(orders("a", **IN_GROUP), {}, {}))
    runs.runs.request_cancel(run_id(2), "a person asked")
    runs.wake_run(2)
    assert runs.row(2).status is OrderState.CANCELLED
    assert [one.run_id for one in runs.groups.groups[DEPLOY].entries] == [run_id(1)]


def test_with_newest_an_older_order_that_waits_ends_with_the_reason():
    runs = Runs(r1=(orders("a", **NEWEST), {}, {}), r2=(orders("a", **NEWEST), {}, {}))
    runs.add(3, orders("a", **NEWEST))
    assert runs.woken() == [2]
    runs.wake_run(2)
    assert runs.row(2).status is OrderState.CANCELLED
    assert runs.row(2).reason.startswith(f"superseded by run {run_id(3)}")
    assert runs.row(3).waiting_for == f"run {run_id(1)} (a), first in line"
    assert runs.row(1).status is OrderState.DISPATCHING


def test_an_order_that_is_superseded_ends_although_its_run_looks_only_when_the_newer_one_has_ended():
    runs = Runs(r1=(orders("a", **NEWEST), {}, {}), r2=(orders("a", **NEWEST), {}, {}))
    runs.add(3, orders("a", **NEWEST))
    runs.end(1)
    runs.wake_run(3)
    runs.end(3)
    assert runs.started() == [(1, "0001"), (3, "0001")]
    runs.wake_run(2)
    assert runs.started() == []
    assert runs.row(2).status is OrderState.CANCELLED
    assert runs.groups.groups[DEPLOY].entries == ()


def test_a_run_that_is_superseded_starts_none_of_its_orders():
    job = {"concurrency": {"group": "deploy", "queue": "newest"}, "max_parallel": 1}
    runs = Runs(r1=(orders("a", "b"), {}, job), r2=(orders("a", "b"), {}, job), r3=(orders("a", "b"), {}, job))
    runs.end(1)
    runs.end(1, "0002")
    runs.wake_run(3)
    runs.end(3)
    runs.end(3, "0002")
    runs.started()
    runs.wake_run(2)
    assert runs.started() == []
    assert [runs.row(2, num).status for num in ("0001", "0002")] == [OrderState.CANCELLED] * 2


@pytest.mark.parametrize("stands_at", ["groups.read", "groups.write"])
def test_a_process_that_stood_still_takes_no_group_for_what_another_one_has_ended(stands_at):
    def overtaken(name):
        if name == stands_at and standing:
            standing.clear()
            engine.clock.advance(40)
            engine.run_to_the_end()

    standing = [True]
    engine = Engine(orders("a", **IN_GROUP), before=overtaken)
    engine.wake()
    assert not standing
    assert engine.states == {"0001": "succeeded"}
    assert engine.groups.groups[DEPLOY].entries == ()


BRANCH = {"ledger": "branch:github.com/acme/infra#main"}


def test_an_older_commit_is_not_applied_after_a_newer_one():
    runs = Runs()
    runs.add(2, orders("apply"), {"apply": APPLY}, **BRANCH, **{**JOB, "commit_hash": "b" * 40})
    runs.end(2)
    runs.add(1, orders("apply"), {"apply": APPLY}, **BRANCH, **{**JOB, "commit_hash": "a" * 40})
    assert runs.started() == [(2, "0001")]
    assert runs.row(1).status is OrderState.CANCELLED
    assert runs.row(1).reason.startswith(f"run {run_id(2)} for the newer commit bbbbbbbbbbbb has begun here")


def hold(runs, number, num="0001", key=DEPLOY, **fields):
    """Leave an entry as a pass does that dies before it removes it."""
    now = runs.clock.now()
    wanted = Wanted(run_id(number), num, "a", now + timedelta(hours=20), **fields)
    group = runs.groups.read([key]).get(key) or new_group(key, now)
    runs.groups.write(ask(group, wanted, now)[0])


def test_an_entry_of_an_order_that_has_ended_is_freed_by_who_waits():
    runs = Runs(r1=(orders("a"), {}, {}))
    hold(runs, 1)
    runs.end(1)
    runs.started()
    runs.add(2, orders("b", **IN_GROUP))
    assert runs.started() == [(2, "0001")]


def test_an_entry_of_a_run_that_has_ended_is_freed_by_who_waits():
    runs = Runs(r1=(orders("a"), {}, {}))
    hold(runs, 1, "0000")
    runs.add(2, orders("b", **IN_GROUP))
    assert runs.started() == [(1, "0001")]
    runs.end(1)
    runs.wake_run(2)
    assert runs.started() == [(2, "0001")]


@pytest.mark.parametrize("hours", [0, 10, 19])
def test_silence_frees_nothing_and_missing_rows_only_after_their_expiry(hours):
    runs = Runs()
    hold(runs, 1)
    runs.add(2, orders("b", **IN_GROUP), job_timeout=24 * 3600)
    runs.clock.advance(3600 * hours)
    runs.wake_run(2)
    assert runs.started() == []
    runs.clock.advance(3600 * (20 - hours))
    runs.wake_run(2)
    assert runs.started() == [(2, "0001")]


def test_a_full_line_ends_an_order_with_words():
    runs = Runs()
    for number in range(100):
        hold(runs, 1, f"{number + 1:04d}")
    runs.add(2, orders("b", **IN_GROUP))
    assert runs.row(2).status is OrderState.CANCELLED
    assert runs.row(2).reason.startswith("100 orders hold this concurrency group or wait for it")


@pytest.mark.parametrize("stops_at", ["groups.write", "runs.apply"])
@pytest.mark.parametrize("call", range(1, 5))
def test_a_pass_that_dies_is_repeated_and_nothing_is_held_for_ever(stops_at, call):
    def calls(name):
        if name == stops_at and armed:
            armed[0] -= 1
            if armed[0] == 0:
                raise PortFailed("simulated", retry_is_safe=True)

    armed = [call]
    pair = [{"order_name": "a", **IN_GROUP}, {"order_name": "b", "dependencies": ["a"], **IN_GROUP}]
    engine = Engine(pair, after=calls)
    for _ in range(30):
        try:
            engine.wake()
        except PortFailed:
            engine.clock.advance(31)
            continue
        engine.clock.advance(31)
        for num in dict.fromkeys(engine.handed_out()):
            if not engine.objects.exists(keys.result(RUN_ID, num)):
                engine.report(num)
    assert set(engine.states.values()) == {"succeeded"}
    assert engine.groups.groups[DEPLOY].entries == ()


def test_what_an_order_asks_for():
    pull = {"ledger": "pull:github.com/acme/infra#7", "commit_hash": "d" * 40}
    run, order = run_row(**pull, job_name="deploy"), order_row(1, group=DEPLOY, project=PLAN, after=[3])
    named, shared = named_request(run, order), project_request(run, order, frozenset())
    assert (named.key, named.wanted.shared, named.wanted.commit) == (DEPLOY, False, "d" * 40)
    assert (shared.key, shared.wanted.shared, shared.wanted.series, shared.wanted.after) == (GROUP, True, None, set())
    alone = project_request(run, order_row(1, project=PLAN, after=[3]), {PROJECT})
    assert (alone.wanted.shared, alone.wanted.after) == (False, {"0003"})
    # Orders of one name in one branch are one series; those of other jobs and of signed jobs are others.
    other = named_request(run_row(**pull, job_name="other"), order)
    assert other.wanted.series != named.wanted.series == named_request(run, order).wanted.series
    assert named_request(run_row(commit_hash="d" * 40), order).wanted.commit is None
    whole = named_request(run_row(**pull, group=DEPLOY), order_row(1))
    assert (whole.wanted.order_num, whole.wanted.series != named.wanted.series) == ("0000", True)
    assert named_request(run, order_row(1)) is project_request(run, order_row(1), frozenset()) is None
    assert planned_alone([order_row(1, project=PLAN), order_row(2, project=APPLY)]) == {PROJECT}
    assert planned_alone([order_row(1, project=PLAN)]) == frozenset()
    assert run.expires_at > START
