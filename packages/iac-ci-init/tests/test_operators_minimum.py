"""What the operator requires of comments: no trigger of a job takes it out, and nothing else is held up by it."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from iac_ci_triggers.event import EventKind, HostEvent, Person, StoredTrigger
from iac_ci_triggers.ledger import KnownSchedule, Ledger
from iac_ci_triggers.ledger_plan import KEPT
from iac_ci_triggers.verification import Sender

sys.path.insert(0, str(Path(__file__).parent))
from event_harness import HEAD, REPOSITORY, Hosted

from iac_ci_common import keys

JOBS = """
version: 1
jobs:
  ship:
    on: TRIGGERS
    orders: [{name: all, plan: {file: plan.bin}, save: [plan.bin], cmds: [./ship]}]
"""


def hosted(triggers, **fields):
    found = Hosted()
    found.connect(require={"approved": 1}, **fields)
    found.configure(JOBS.replace("TRIGGERS", triggers).encode())
    return found


@pytest.mark.parametrize(
    "triggers",
    [
        "{command: ship}",
        "{command: ship, push: {branches: [main]}}",
        "{command: ship, push: {branches: [none]}}",
        "{command: ship, pull_request: {branches: [none]}}",
        '{command: ship, schedule: {cron: "0 6 * * *"}}',
    ],
)
def test_no_trigger_takes_a_job_out_of_the_operators_minimum(triggers):
    engine = hosted(triggers)
    engine.comment("/iac-ci ship")
    assert engine.jobs == []
    assert "its requirements are not met" in engine.answers[-1]
    assert "0 of 1 approvals count" in engine.answers[-1]


@pytest.mark.parametrize("branches", ["", "{branches: [main]}"])
def test_what_pull_requests_start_by_themselves_is_excepted(branches):
    engine = hosted(f"{{command: ship, pull_request: {branches}}}")
    engine.pull_request()
    engine.comment("/iac-ci ship")
    assert len(engine.jobs) == 2


def test_a_push_starts_what_a_comment_may_not():
    engine = hosted("{command: ship, push: {branches: [main]}}")
    engine.configure(JOBS.replace("TRIGGERS", "{command: ship, push: {branches: [main]}}").encode(), commit=HEAD)
    engine.push()
    assert [job.job_name for job in engine.jobs] == ["ship"]


def test_a_schedule_starts_what_a_comment_may_not():
    engine = hosted('{command: ship, schedule: {cron: "0 * * * *"}}', schedule_branch="main")
    key, now = keys.schedule_ledger("github.com/acme/infra"), engine.clock.now()
    minute = now.replace(minute=0, second=0, microsecond=0)
    known = KnownSchedule(job="ship", cron="0 * * * *", timezone="UTC", decided=minute - timedelta(hours=1))
    engine.ledgers.write(Ledger(key=key, branch="main", schedules=(known,), expires_at=now + KEPT))
    event = HostEvent(
        host=Sender.GITHUB,
        kind=EventKind.SCHEDULE,
        repository=REPOSITORY,
        actor=Person(id="", login="schedule"),
        branch="main",
        job="ship",
        planned_for=minute,
    )
    stored = StoredTrigger(trigger_id="20260101T000000-0123456789ab", received_at=now, event=event)
    engine.objects.put(keys.trigger_event(stored.trigger_id), stored.model_dump_json().encode(), content_type="x")
    engine.processor.process(stored.trigger_id)
    assert [job.job_name for job in engine.jobs] == ["ship"]
