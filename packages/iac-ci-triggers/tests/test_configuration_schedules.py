"""Planned minutes on the clocks of time zones, and what is refused of a schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iac_ci_common.errors import ConfigurationProblems
from iac_ci_triggers.configuration import due_minutes, next_minutes, orders_beside_plans, read_configuration
from iac_ci_triggers.configuration.schedules import cron_problem, planned_minutes, shown_minute, zone_problem

BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("cron", "problem"),
    [
        ("0 6 * * 1-5", None),
        ("*/15 * * * *", None),
        ("0,15,30,45 8-18 * jan-jun MON", None),
        ("50 23 * * *", None),
        ("0 0 L * *", None),
        ("*/14 * * * *", "14 minutes apart"),
        ("* * * * *", "1 minute apart"),
        ("0,5 1 * * *", "5 minutes apart"),
        ("50,0 0,23 * * *", "plans 23:50 and 00:00, 10 minutes apart"),
        ("0 0 30 2 *", "bad day of the month, or one that its months do not have"),
        ("0 0 * 2 mon#5", None),
        ("61 * * * *", "bad minute"),
        ("@daily", "has 1 fields"),
        ("0 0 6 * * *", "has 6 fields"),
        ("0 6 ? * *", "'?' is no day of the month"),
        ("0 6 \u0663 * *", "is no day of the month"),
    ],
)
def test_what_is_refused_of_the_fields(cron, problem):
    found = cron_problem(cron)
    assert (found is None) if problem is None else (problem in found)


@pytest.mark.parametrize("zone", ["UTC", BERLIN, "Australia/Lord_Howe", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_names_of_time_zones(zone):
    assert zone_problem(zone) is None


@pytest.mark.parametrize(
    "zone",
    [
        "Europe",
        "Berlin",
        "europe/berlin",
        "../etc/passwd",
        "/etc/localtime",
        "",
        "UTC+1",
        "a/b/c/d",
        "localtime",
        "posixrules",
        "right/UTC",
        "posix/Europe/Berlin",
        "Factory",
    ],
)
def test_names_of_no_time_zones(zone):
    assert zone_problem(zone) is not None


def moment(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "until", "expected"),
    [
        # The clock goes from 02:00 to 03:00 on March 29: what it skips comes once, at 03:00.
        ("30 2 * * *", BERLIN, "2026-03-28T12:00", "2026-03-30T12:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),
        ("*/15 2 * * *", BERLIN, "2026-03-28T12:00", "2026-03-29T12:00", ["2026-03-29T01:00"]),
        ("0 2,3 * * *", BERLIN, "2026-03-28T12:00", "2026-03-29T12:00", ["2026-03-29T01:00"]),
        # It shows 02:00 to 03:00 twice on October 25: the first time counts.
        ("30 2 * * *", BERLIN, "2026-10-24T12:00", "2026-10-26T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
        (
            "0 * * * *", BERLIN, "2026-10-24T23:30", "2026-10-25T03:00",
            ["2026-10-25T00:00", "2026-10-25T02:00", "2026-10-25T03:00"],
        ),
        # Half an hour is skipped here, and a whole day was skipped there.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", "2026-10-04T12:00", ["2026-10-03T15:30"]),
        ("0 6 30 12 *", "Pacific/Apia", "2011-12-01T00:00", "2012-01-01T00:00", ["2011-12-30T10:00"]),
    ],
)  # fmt: skip
def test_a_minute_that_is_skipped_counts_at_the_next_and_one_that_comes_twice_counts_once(
    cron, zone, after, until, expected
):
    assert due_minutes(cron, zone, moment(after), moment(until)) == tuple(map(moment, expected))


@given(
    st.sampled_from(["*/15 * * * *", "30 2 * * *", "0 * * * *", "15,45 1-3 * * 0", "0 0 1 * *"]),
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "UTC", "Pacific/Apia"]),
    st.integers(0, 365 * 24 * 60),
    st.integers(1, 60 * 24),
)
@settings(max_examples=40)
def test_looking_often_finds_what_looking_once_finds(cron, zone, start, minutes):
    """The minutes up to a moment do not depend on how often one looks: none is lost between two ticks, or twice."""
    after = last = moment("2026-01-01T00:00") + timedelta(minutes=start)
    until = after + timedelta(minutes=minutes)
    pieces = []
    while last < until:
        nearer = min(until, last + timedelta(minutes=15))
        pieces += due_minutes(cron, zone, last, nearer)
        last = nearer
    assert tuple(pieces) == due_minutes(cron, zone, after, until)
    assert pieces == sorted(set(pieces))


def test_the_next_minutes_are_those_of_the_wall_clock():
    found = next_minutes("30 2 * * *", BERLIN, moment("2026-03-28T12:00"))
    assert [f"{minute:%d %H:%M}" for minute in found] == ["29 03:00", "30 02:30", "31 02:30"]
    assert shown_minute(moment("2026-03-29T01:00"), BERLIN) == "2026-03-29 03:00 Europe/Berlin"


def test_a_stored_schedule_whose_zone_is_gone_is_an_error_and_no_minute():
    with pytest.raises(ValueError, match="is not a time zone"):
        next(planned_minutes("0 6 * * *", "Europe/Atlantis", moment("2026-01-01T00:00")))


FILE = b"""
version: 1
jobs:
  nightly:
    on: {schedule: {cron: "0 6 * * *"}}
    orders:
      - {name: a, plan: {file: p, workspace: default}, save: [p], cmds: [plan]}
      - {name: b, apply_plan: a, depends_on: [a], restore: [{order: a}], cmds: [apply]}
      - {name: c, cmds: [./c]}
"""


def test_a_stored_schedule_whose_fields_cannot_be_read_is_an_error_and_no_minute():
    with pytest.raises(ValueError, match="Bad minute"):
        due_minutes("x * * * *", "UTC", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))


def test_only_orders_that_write_a_plan_and_apply_none_are_plans():
    assert orders_beside_plans(read_configuration(FILE), "nightly") == ("b", "c")


def problems(text):
    with pytest.raises(ConfigurationProblems) as caught:
        read_configuration(text)
    return {problem.where: problem.what for problem in caught.value.problems}


def test_a_schedule_applies_no_reviewed_plan():
    text = b"""
version: 1
jobs:
  plan: {on: {pull_request: {}}, orders: [{name: a, plan: {file: p, workspace: default}, save: [p], cmds: [x]}]}
  nightly: {on: {schedule: {cron: "0 6 * * *"}}, orders: [{name: b, apply_plan: a, cmds: [y]}]}
"""
    (problem,) = problems(text).values()
    assert problem == "applies a reviewed plan, which only a command can start; remove push, pull_request and schedule"


DRIFT = b'version: 1\ndrift: {cron: "0 6 * * *"}\n'
JOB = b"{on: {push: {}}, orders: [{name: a, cmds: [x]}]}"


def test_drift_is_for_projects_and_gives_a_job():
    (problem,) = problems(DRIFT + b"jobs: {a: %s}" % JOB).values()
    assert problem.startswith("is for projects, and there are none")
    (problem,) = problems(DRIFT + b"projects: [{folder: live}]\njobs: {Drift: %s}" % JOB).values()
    assert problem == "is the name of a job that projects give; use another name"
    assert "line 2: drift" not in problems(DRIFT + b"projects: 5\n")


def test_a_problem_of_a_schedule_hides_no_other():
    found = problems(b"""
version: 1
projects: [{folder: live, nope: 1}]
drift: {cron: "* * * * *", timezone: Nowhere, more: 1}
jobs:
  b: {on: {schedule: daily}, orders: [{name: a, cmds: [x], timeout: 0}]}
""")
    assert {where.partition(": ")[2] for where in found} == {
        "projects[0].nope",
        "drift.cron",
        "drift.timezone",
        "drift.more",
        "jobs.b.on.schedule",
        "jobs.b.orders[0].timeout",
    }
