"""The list of projects with drift, and what validation says of schedules."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from iac_ci_cli import drift_commands, stack_options
from iac_ci_cli.drift_commands import listed
from iac_ci_cli.schedule_words import schedule_words
from iac_ci_common.models.changes import Changes, Operation
from iac_ci_common.models.drift import DriftList
from iac_ci_common.models.event import DRIFT, NO_DRIFT, Event, FoundProject
from iac_ci_common.testing import MemoryRuns
from iac_ci_triggers.configuration import read_configuration

NOW = datetime.now(UTC).replace(microsecond=0)
CHANGES = Changes(operation=Operation.PLANNED, change=1, outside=1)


def event(project, days, kind=DRIFT, *, repository="https://github.com/acme/infra.git", **fields):
    run = f"20260101T000000-{days:012x}"
    at = NOW - timedelta(days=days)
    found = FoundProject(repository=repository, name=project, key=project[-1] * 64, changes=CHANGES, **fields)
    return Event(
        trace_id=f"{days:016x}", run_id=run, order_num="0001", order_name="_drift", kind=kind, at=at, project=found,
        reason=f"{project}: +0 ~1 -0; all of it was changed outside of Terraform", expires_at=NOW + timedelta(days=90),
    )  # fmt: skip


class Connection:
    def __init__(self, events):
        self.runs = MemoryRuns()
        self.runs.record(events)


@pytest.fixture
def connected(monkeypatch, capsys):
    def run(events, **options):
        monkeypatch.setattr(stack_options, "connect", lambda *_, **__: Connection(events))
        drift_commands.drift(**{"days": 35} | options)
        return capsys.readouterr().out

    return run


def test_the_newest_run_of_each_project_counts():
    events = [
        event("live/a", 3),
        event("live/a", 1, NO_DRIFT),
        event("live/b", 2, NO_DRIFT),
        event("live/b", 1, issue=7),
        event("live/b", 1, repository="https://github.com/acme/other.git", note="no tracker"),
    ]
    found = listed(events, NOW - timedelta(days=35))
    assert (found.planned, [one.project for one in found.drift]) == (3, ["live/b", "live/b"])
    assert [one.issue for one in found.drift] == [7, None]


def test_it_prints_a_line_for_each_project_with_drift(connected):
    shown = connected([event("live/a", 1, issue=7), event("live/b", 1, NO_DRIFT)])
    first, last = shown.splitlines()
    assert first.startswith("github.com/acme/infra  live/a  +0 ~1 -0; all of it was changed outside of Terraform  ")
    assert first.endswith("run 20260101T000000-000000000001  issue 7")
    assert last == "1 of 2 projects with drift, by the runs of the last 35 days."
    assert connected([]) == "No drift run has planned a project in the last 35 days.\n"
    assert connected([event("live/a", 40)]) == "No drift run has planned a project in the last 35 days.\n"
    assert connected([], days=1) == "No drift run has planned a project in the last day.\n"


def test_the_json_is_as_its_schema_says(connected):
    jsonschema = pytest.importorskip("jsonschema")
    content = json.loads(connected([event("live/a", 1, issue=7)], as_json=True))
    jsonschema.Draft202012Validator(DriftList.model_json_schema()).validate(content)
    assert content["drift"][0]["changes"]["outside"] == 1


def test_control_characters_of_a_project_do_not_reach_the_terminal(connected):
    assert "\x1b" not in connected([event("live/\x1b[2Ja", 1)])


SCHEDULED = b"""
version: 1
projects: [{find: "live/*/main.tf"}]
drift: {cron: "30 2 * * *", timezone: Europe/Berlin}
jobs:
  deploy:
    on: {schedule: {cron: "0 6 1 * *"}}
    orders: [{name: all, cmds: [./deploy]}]
"""


def test_schedules_are_shown_in_words_with_their_next_three_times():
    lines = schedule_words(read_configuration(SCHEDULED), datetime(2026, 3, 27, 12, tzinfo=UTC))
    assert lines == [
        (
            "schedule of deploy: 0 6 1 * * (UTC); next: Wed 2026-04-01 06:00, Fri 2026-05-01 06:00,"
            " Mon 2026-06-01 06:00; all is no plan, so the stack's connection must have schedules_may_apply"
        ),
        (
            "schedule of drift: 30 2 * * * (Europe/Berlin); next: Sat 2026-03-28 02:30, Sun 2026-03-29 03:00,"
            " Mon 2026-03-30 02:30"
        ),
        "schedules run only on the branch that the stack's connection names (schedule_branch)",
    ]


def test_validate_and_expand_print_them(tmp_path):
    (tmp_path / ".iac-ci.yml").write_bytes(SCHEDULED)
    (tmp_path / "live" / "a").mkdir(parents=True)
    (tmp_path / "live" / "a" / "main.tf").write_text("")
    program = str(Path(sys.executable).with_name("iac-ci"))
    valid = subprocess.run([program, "validate", str(tmp_path)], capture_output=True, text=True)
    assert (valid.returncode, "Schedule of drift: 30 2 * * * (Europe/Berlin); next: " in valid.stdout) == (0, True)
    expanded = subprocess.run([program, "expand", str(tmp_path)], capture_output=True, text=True).stdout
    assert "# schedule of drift: 30 2 * * * (Europe/Berlin); next: " in expanded
    jobs = read_configuration(expanded.encode()).jobs
    assert [order.name for order in jobs["drift"].orders] == ["drift-live-a"]
    assert jobs["drift"].on.schedule.timezone == "Europe/Berlin"
