"""The index of runs: what a reader finds of runs of this version and of versions before."""

from __future__ import annotations

from datetime import timedelta

import pytest

from iac_ci_common.aws.history import DynamoHistory
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.clock import SystemClock
from iac_ci_common.models.event import MAX_PROJECT_CHARS
from iac_ci_common.run_events import accepted_event, run_event
from iac_ci_common.states import RunState
from iac_ci_common.testing import Sequential
from iac_ci_common.testing.samples import queued, run_row

DAY = timedelta(days=1)


def run(now, number, **fields):
    return run_row(
        run_id=f"20260101T000000-{number:012x}", trace_id=f"{number:016x}", accepted_at=now, job_name="plan", **fields
    )


@pytest.fixture
def midnight(now):
    return now.replace(hour=0, minute=0, second=0)


def test_events_of_runs_are_found_over_days_with_the_newest_first(adapters, midnight):
    events = [run_event(run(midnight, number), midnight - hours) for number, hours in enumerate((DAY / 24, -DAY / 24))]
    adapters.runs.record(events)
    assert adapters.history.job_events(midnight - DAY, midnight + DAY) == events[::-1]


def test_a_period_ends_before_its_last_millisecond(adapters, midnight):
    event = run_event(run(midnight, 1), midnight)
    adapters.runs.record([event])
    assert adapters.history.job_events(midnight, midnight + DAY) == [event]
    assert adapters.history.job_events(midnight - DAY, midnight) == []


def test_events_of_orders_and_expired_ones_are_not_listed(adapters, now):
    adapters.runs.record([event for event in queued([{}]).events if event.order_num != "0000"])
    adapters.runs.record([run_event(run(now, 1), now).model_copy(update={"expires_at": now - DAY})])
    assert adapters.history.job_events(now - 90 * DAY, now + DAY) == []


def test_a_run_is_listed_with_what_people_look_for(adapters, now):
    started = run(now, 1, repository="example.com/acme/infra", branch="change", actor="me", status=RunState.QUEUED)
    adapters.runs.record([accepted_event(started, ["network", "storage"])])
    (found,) = adapters.history.job_events(now - DAY, now + DAY)
    assert (found.kind, found.job_name, found.repository) == ("accepted", "plan", "example.com/acme/infra")
    assert (found.branch, found.actor, found.projects) == ("change", "me", ("network", "storage"))


def test_an_event_of_a_version_before_is_listed_without_what_it_does_not_have(dynamodb, now):
    class Former(DynamoRuns):
        def _put_event(self, event):
            row = super()._put_event(event)
            del row["Put"]["Item"]["job_day"]
            return row

    event = run_event(run(now, 1).model_copy(update={"job_name": None}), now)
    Former(dynamodb, "orders", "events").record([event])
    newer = run_event(run(now, 2), now + timedelta(seconds=1))
    DynamoRuns(dynamodb, "orders", "events").record([newer])
    history = DynamoHistory(dynamodb, "events", SystemClock(), Sequential())
    assert history.job_events(now - DAY, now + DAY) == [newer, event]


def test_names_of_projects_that_do_not_fit_are_counted(now):
    names = [f"{number:04d}-{'x' * 1000}" for number in range(100)]
    event = accepted_event(run(now, 1), names)
    assert sum(map(len, event.projects)) <= MAX_PROJECT_CHARS
    assert len(event.projects) + event.projects_left_out == 100
    assert event.projects == tuple(names[: len(event.projects)])
