"""Schedules: each planned minute starts once, at the next tick, by the named branch alone, and never beside itself."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from iac_ci_common import keys
from iac_ci_common.errors import PortFailed
from iac_ci_common.initial_rows import build_rows
from iac_ci_common.ports import Transition
from iac_ci_common.states import OrderState, RunState
from iac_ci_init.schedules import Schedules, SchedulesPorts
from iac_ci_init.tick import Tick, TickPorts
from iac_ci_vcs.provider import CommitState

sys.path.insert(0, str(Path(__file__).parent))
from event_harness import BASE, CONFIGURATION, NEXT, REPOSITORY, Hosted

RULE = "arn:aws:events:eu-central-1:123456789012:rule/iac-ci-tick"
BERLIN = ZoneInfo("Europe/Berlin")
LEDGER = keys.schedule_ledger("github.com/acme/infra")
TEN = b'{cron: "0 10 * * *", timezone: Europe/Berlin}'


def scheduled(schedule=TEN, orders=b"[{name: live, plan: {file: p, workspace: default}, save: [p], cmds: [plan]}]"):
    return b"version: 1\njobs:\n  nightly:\n    on: {schedule: %s}\n    orders: %s\n" % (schedule, orders)


class Scheduled(Hosted):
    """An engine whose only clock is that of its ticks."""

    def __init__(self, configuration=None, *, at=datetime(2026, 1, 1, 0, 5, tzinfo=UTC), **connection):
        super().__init__()
        self.go_to(at)
        self.connect(**{"repositories": [REPOSITORY], "schedule_branch": "main"} | connection)
        self.configure(scheduled() if configuration is None else configuration)
        ports = SchedulesPorts(
            self.clock, self.host, self.ledgers, self.deliveries, self.objects, self.invoker, self.logger
        )
        self.schedules = Schedules(ports, self.receiver.connections)
        ticking = TickPorts(self.clock, self.objects, self.logger)
        self.ticker = Tick(ticking, RULE, [self.schedules], [self.schedules.start_due])

    def go_to(self, moment):
        self.clock.advance((moment - self.clock.now()).total_seconds())

    def tick(self, after=timedelta(), *, ends=True):
        """Let a tick come, process what it brings, and end the runs that this starts."""
        self.clock.advance(after.total_seconds())
        before, started = len(self.invoker.triggered), len(self.invoker.started)
        self.ticker.run({"source": "aws.events", "detail-type": "Scheduled Event", "resources": [RULE]})
        for trigger_id in self.invoker.triggered[before:]:
            self.processor.process(trigger_id)
        for run_id in self.invoker.started[started:]:
            self.insert(run_id, ends=ends)

    def insert(self, run_id, *, ends=True):
        rows = build_rows(self.stored_job(run_id), max_parallel=10)
        self.runs.insert(rows.run, rows.orders, rows.events)
        if ends:
            self.end(run_id)

    def end(self, run_id):
        run = self.runs.find_run(run_id)
        running = run.model_copy(update={"status": RunState.RUNNING})
        self.runs.apply([Transition(run, running)])
        self.runs.apply([Transition(running, running.model_copy(update={"status": RunState.SUCCEEDED}))])

    @property
    def minutes(self):
        return [stored.planned_for for stored in self.jobs]

    @property
    def left_out(self):
        return [(one.count, one.reason) for one in self.ledgers.read(LEDGER).left_out]

    def kinds(self, run_id):
        events = self.runs.events(self.stored_job(run_id).trace_id)
        return [(event.kind, event.reason) for event in events if event.kind == "left_out"]


def local(*parts):
    return datetime(*parts, tzinfo=BERLIN).astimezone(UTC)


def test_a_planned_minute_is_met_within_fifteen_minutes_and_once():
    engine = Scheduled()
    for _ in range(96 * 2):
        engine.tick(timedelta(minutes=15))
    assert engine.minutes == [local(2026, 1, 1, 10), local(2026, 1, 2, 10)]
    (first, _) = engine.jobs
    assert timedelta() <= first.accepted_at - first.planned_for <= timedelta(minutes=15)
    assert (first.job_name, first.job.commit_hash, first.job.pr_number) == ("nightly", BASE, None)
    assert (first.job.username, first.actor) == ("schedule", "schedule:nightly")
    assert first.ledger == LEDGER
    assert engine.left_out == []


YEAR = datetime(2026, 1, 1, 0, 5, tzinfo=UTC)


def test_a_year_of_ticks_with_both_clock_changes_starts_each_planned_minute_once():
    """The clock of Berlin skips 02:30 on March 29, and shows it twice on October 25. Each tick comes twice."""
    engine = Scheduled(scheduled(b'{cron: "30 2 * * *", timezone: Europe/Berlin}'), at=YEAR)
    ticks, night = 0, YEAR
    while night.year == YEAR.year:
        # Every 15 minutes of each night; the ticks of the days would change nothing.
        for _ in range(9):
            engine.tick()
            engine.tick(timedelta(minutes=15))
            ticks += 1
        night += timedelta(days=1)
        engine.go_to(night)
    days = Counter(minute.astimezone(BERLIN).date() for minute in engine.minutes)
    assert (len(days), set(days.values())) == (365, {1})
    shown = {minute.astimezone(BERLIN).date().isoformat(): minute for minute in engine.minutes}
    spring, autumn = shown["2026-03-29"], shown["2026-10-25"]
    assert (spring, autumn) == (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    assert max(stored.accepted_at - stored.planned_for for stored in engine.jobs) <= timedelta(minutes=15)
    assert engine.left_out == []
    print(  # noqa: T201 - the line that the test shows
        f"{ticks} ticks in 2026, each twice: {len(engine.minutes)} runs in {len(days)} days, one each;"
        f" 02:30 started at {spring.astimezone(BERLIN):%H:%M} on March 29 and once on October 25, at"
        f" {autumn.astimezone(BERLIN):%H:%M %Z}"
    )


def test_two_ticks_at_once_start_a_minute_once():
    engine = Scheduled()
    engine.tick()
    engine.go_to(local(2026, 1, 1, 10, 7))
    # Both have read the ledger before either event is processed, and Lambda delivers each event twice.
    engine.schedules.start_due()
    engine.schedules.start_due()
    (trigger_id,) = engine.invoker.triggered
    engine.processor.process(trigger_id)
    engine.processor.process(trigger_id)
    assert len(engine.jobs) == 1
    engine.tick(timedelta(minutes=15))
    assert len(engine.jobs) == 1
    print("one planned minute, two ticks at once, each event delivered twice: 1 run")  # noqa: T201


def test_a_minute_that_was_remembered_twice_starts_once_by_the_ledger():
    engine = Scheduled()
    engine.tick()
    engine.go_to(local(2026, 1, 1, 10, 7))
    engine.schedules.start_due()
    engine.deliveries.deliveries.clear()
    engine.schedules.start_due()
    first, second = engine.invoker.triggered
    assert first != second
    for trigger_id in (second, first, second):
        engine.processor.process(trigger_id)
    assert len(engine.jobs) == 1


def test_a_tick_that_dies_before_it_has_brought_a_minute_is_made_good_by_the_next(monkeypatch):
    engine = Scheduled()
    engine.tick()

    def fail(trigger_id):
        raise PortFailed("no", retry_is_safe=True)

    with monkeypatch.context() as broken:
        broken.setattr(engine.invoker, "process_event", fail)
        engine.go_to(local(2026, 1, 1, 10, 7))
        assert engine.schedules.start_due() == 0
    engine.tick(timedelta(minutes=15))
    assert engine.minutes == [local(2026, 1, 1, 10)]


def test_a_minute_that_no_event_could_decide_is_brought_again_until_one_does(monkeypatch):
    engine = Scheduled()
    engine.tick()
    engine.go_to(local(2026, 1, 1, 10, 7))
    assert engine.schedules.start_due() == 1

    def fail(branch):
        raise PortFailed("the code host does not answer", retry_is_safe=True)

    with monkeypatch.context() as broken:
        broken.setattr(engine.host, "branch_head", fail)
        for _ in range(3):
            with pytest.raises(PortFailed):
                engine.processor.process(engine.invoker.triggered[-1])
    # A second delivery of the same tick, or one that Lambda repeats, brings nothing more.
    engine.clock.advance(200)
    assert engine.schedules.start_due() == 0
    engine.tick(timedelta(minutes=15))
    assert engine.minutes == [local(2026, 1, 1, 10)]
    assert len(set(engine.invoker.triggered)) == 1
    for _ in range(30):
        engine.tick(timedelta(minutes=15))
    assert (engine.minutes, len(engine.invoker.triggered), engine.left_out) == ([local(2026, 1, 1, 10)], 2, [])


def test_a_minute_that_no_event_can_decide_is_given_up_and_named_by_the_next(monkeypatch):
    engine = Scheduled()
    engine.tick()
    engine.go_to(local(2026, 1, 1, 10, 7))
    brought = [engine.schedules.start_due()]
    for _ in range(40):
        engine.clock.advance(900)
        brought.append(engine.schedules.start_due())
    assert sum(brought) == 1 + 24
    engine.go_to(local(2026, 1, 2, 10, 7))
    engine.tick()
    assert engine.minutes == [local(2026, 1, 2, 10)]
    assert engine.left_out == [(1, "the engine did not process them in time")]


def test_an_event_that_died_after_the_ledger_goes_on_under_the_same_run(monkeypatch):
    engine = Scheduled()
    engine.tick()
    engine.go_to(local(2026, 1, 1, 10, 7))
    engine.schedules.start_due()

    def fail(*arguments):
        raise PortFailed("no", retry_is_safe=True)

    (trigger_id,) = engine.invoker.triggered
    with monkeypatch.context() as broken:
        broken.setattr(engine.watchdogs, "start", fail)
        with pytest.raises(PortFailed):
            engine.processor.process(trigger_id)
    engine.processor.process(trigger_id)
    (stored,) = engine.jobs
    assert [run.run_id for run in engine.ledgers.read(LEDGER).runs] == [stored.run_id]


def test_after_hours_without_ticks_only_the_newest_minute_starts_and_the_others_are_named():
    engine = Scheduled(scheduled(b'{cron: "0 * * * *"}'))
    engine.tick()
    engine.tick(timedelta(hours=1))
    engine.tick(timedelta(hours=7))
    first, second = engine.jobs
    assert (first.planned_for.hour, second.planned_for.hour) == (1, 8)
    ((kind, reason),) = engine.kinds(second.run_id)
    assert kind == "left_out"
    assert reason == (
        "nightly was not started for 6 planned minutes from 2026-01-01 02:00 UTC to 2026-01-01 07:00 UTC: the engine"
        " did not process them in time"
    )
    engine.processor.process(engine.invoker.triggered[-1])
    assert len(engine.kinds(second.run_id)) == 1


def test_a_run_that_is_open_lets_no_other_start_beside_it_and_says_so():
    engine = Scheduled(scheduled(b'{cron: "0 * * * *"}'))
    engine.tick()
    engine.tick(timedelta(hours=1), ends=False)
    (open_run,) = (stored.run_id for stored in engine.jobs)
    engine.tick(timedelta(hours=1))
    engine.tick(timedelta(minutes=15))
    assert len(engine.jobs) == 1
    reason = f"its run {open_run} is still open"
    assert engine.left_out == [(1, reason)]
    shown = f"nightly was not started for 2026-01-01 02:00 UTC: {reason}"
    assert engine.kinds(open_run) == [("left_out", shown)]
    engine.end(open_run)
    engine.tick(timedelta(minutes=15))
    assert len(engine.jobs) == 1
    engine.tick(timedelta(minutes=30))
    assert [minute.hour for minute in engine.minutes] == [1, 3]


def test_only_the_branch_that_the_connection_names_counts():
    engine = Scheduled(CONFIGURATION)
    engine.configure(scheduled(b'{cron: "0 * * * *"}'), branch="other", commit=NEXT)
    for _ in range(5):
        engine.tick(timedelta(hours=1))
    assert engine.jobs == []
    engine = Scheduled(scheduled(b'{cron: "0 * * * *"}'), schedule_branch=None)
    for _ in range(5):
        engine.tick(timedelta(hours=1))
    assert (engine.jobs, engine.ledgers.read(LEDGER)) == ([], None)


def test_a_connection_that_names_another_branch_by_now_starts_nothing_of_the_first():
    engine = Scheduled(scheduled(b'{cron: "0 * * * *"}'))
    engine.tick()
    engine.clock.advance(3600)
    engine.schedules.start_due()
    engine.connect(repositories=[REPOSITORY], schedule_branch="other")
    engine.clock.advance(600)
    engine.processor.process(engine.invoker.triggered[-1])
    assert engine.jobs == []


def test_a_changed_schedule_counts_from_the_tick_that_reads_it():
    engine = Scheduled()
    engine.tick()
    engine.go_to(local(2026, 1, 1, 10, 30))
    engine.configure(scheduled(b'{cron: "15 10 * * *", timezone: Europe/Berlin}'), commit=NEXT)
    engine.tick()
    assert engine.jobs == [], "the old schedule is not in the file any more, and the new one's minute is over"
    engine.go_to(local(2026, 1, 2, 10, 20))
    engine.tick()
    assert engine.minutes == [local(2026, 1, 2, 10, 15)]


APPLY = b"[{name: live, cmds: [./deploy]}]"


def test_a_schedule_starts_only_plans_unless_the_operator_lets_it():
    engine = Scheduled(scheduled(orders=APPLY))
    engine.tick()
    engine.go_to(local(2026, 1, 1, 10, 7))
    engine.tick()
    assert engine.jobs == []
    ((_, reason),) = engine.left_out
    assert reason == "live is no plan, and the stack's connection lets schedules only plan (schedules_may_apply)"
    status = engine.host.statuses[-1]
    assert (status.context, status.state, status.commit) == ("iac-ci/nightly", CommitState.FAILURE, BASE)
    engine = Scheduled(scheduled(orders=APPLY), schedules_may_apply=True)
    engine.tick()
    engine.go_to(local(2026, 1, 1, 10, 7))
    engine.tick()
    assert len(engine.jobs) == 1


def test_a_file_that_is_not_valid_starts_nothing_and_its_minutes_say_why():
    engine = Scheduled()
    engine.tick()
    engine.configure(b"version: 1\njobs: 5\n", commit=NEXT)
    engine.go_to(local(2026, 1, 1, 10, 7))
    engine.tick()
    assert (engine.jobs, engine.left_out) == ([], [(1, f".iac-ci.yml is not valid at {NEXT[:12]}")])
    engine.configure(scheduled(), commit=BASE)
    engine.tick(timedelta(minutes=15))
    engine.go_to(local(2026, 1, 2, 10, 7))
    engine.tick()
    assert engine.minutes == [local(2026, 1, 2, 10)]


PROJECTS = b"""
version: 1
projects:
  - find: "live/*/main.tf"
    role: {plan: arn:aws:iam::123456789012:role/plan, apply: arn:aws:iam::123456789012:role/apply}
  - {folder: old, drift: false}
drift: {cron: "0 10 * * *", timezone: Europe/Berlin}
"""


def test_projects_are_planned_and_never_applied_by_their_drift_schedule():
    engine = Scheduled(PROJECTS)
    trees = {"live/dns/main.tf": b"", "live/net/main.tf": b"", "old/main.tf": b""}
    engine.trees.trees[f"{REPOSITORY}.git", BASE] = trees
    engine.connect(repositories=[REPOSITORY], schedule_branch="main")
    engine.tick()
    engine.go_to(local(2026, 1, 1, 10, 7))
    engine.tick()
    assert [reason for _, reason in engine.left_out] == []
    (stored,) = engine.jobs
    assert [order.order_name for order in stored.job.orders] == ["drift-live-dns", "drift-live-net"]
    assert all(order.plan is not None for order in stored.job.orders)
    assert {order.assume_role.rpartition("/")[2] for order in stored.job.orders} == {"plan"}
    assert all(project.record is None and not project.applies for project in stored.projects.values())
    assert stored.planned_for == local(2026, 1, 1, 10)


def test_an_unchanged_branch_costs_one_request_of_the_tick():
    engine = Scheduled()
    engine.tick()
    asked = []
    branch_head = engine.host.branch_head
    engine.host.branch_head = lambda branch: asked.append(branch) or branch_head(branch)
    engine.host.file = None
    engine.tick(timedelta(minutes=15))
    assert asked == ["main"]


def test_the_run_knows_the_minute_it_was_planned_for():
    engine = Scheduled()
    engine.tick()
    engine.go_to(local(2026, 1, 1, 10, 7))
    engine.tick()
    (stored,) = engine.jobs
    assert engine.runs.find_run(stored.run_id).planned_for == stored.planned_for
    assert OrderState.QUEUED in {order.status for order in engine.runs.read(stored.run_id).orders}
