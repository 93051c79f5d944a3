"""What a schedule's run reports of the projects that it planned."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from iac_ci_common import keys
from iac_ci_common.errors import PortFailed
from iac_ci_common.models.changes import Changes, Operation
from iac_ci_common.models.event import DRIFT, NO_DRIFT
from iac_ci_common.models.plan_text import PlannedResource, PlanText
from iac_ci_common.models.saved_plan import KnownDrift, OrderProject, PlannedFile
from iac_ci_common.project_states import new_state
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import RUN_ID, START
from iac_ci_vcs.drift_issues import MAX_NEW

sys.path.insert(0, str(Path(__file__).parent))
from engine import Engine

PLANNED = PlannedFile(sha256="b" * 64, tool="terraform", tool_version="1.11.4", workspace="default")
JOB = {
    "git_repo": "https://github.com/acme/infra.git",
    "commit_hash": "d" * 40,
    "git_token_location": "ssm:/iac-ci/token",
    "commit_status": True,
}
NOTHING = Changes(operation=Operation.PLANNED)
OUTSIDE = Changes(operation=Operation.PLANNED, change=1, outside=1)
TEXT = PlanText(resources=(PlannedResource(address="local_file.a", action="update", text="~ content"),))


def key(number):
    return f"{number:064x}"[::-1]


class Drifting(Engine):
    """A schedule's run with a plan per project."""

    def __init__(self, changes, *, planned_for=START, projects=None, **fields):
        orders = [{"order_name": f"drift-{number}"} for number in range(len(changes))]
        made = {
            f"drift-{number}": OrderProject(key=key(number), name=f"live/{number}") for number in range(len(changes))
        }
        super().__init__(orders, projects=made | (projects or {}), planned_for=planned_for, **JOB | fields)
        self.changes = changes

    def play(self):
        self.wake()
        for number, changes in enumerate(self.changes, start=1):
            if changes is None:
                self.report(f"{number:04d}", OrderState.FAILED)
            else:
                self.report(f"{number:04d}", planned=PLANNED, changes=changes, plan=TEXT)
            self.wake()
        self.assert_ended_well()
        return self

    @property
    def issues(self):
        return self.reports.issue_host.issued

    @property
    def found(self):
        rows = [event for event in self.runs.event_rows.values() if event.order_name == "_drift"]
        return {event.project.name: (event.kind, event.project.issue) for event in rows}

    def kinds(self):
        return [event.kind for event in self.runs.event_rows.values() if event.order_num == "0000"]


def test_each_project_with_drift_has_an_issue_and_each_planned_one_an_event():
    engine = Drifting([OUTSIDE, NOTHING, None]).play()
    ((number, issue),) = engine.issues.items()
    assert (issue.title, issue.is_open) == ("Drift: live/0", True)
    assert issue.body.startswith(f"<!-- iac-ci:drift:{key(0)[:32]} -->")
    for shown in (RUN_ID, "d" * 40, "~ content", "+0 ~1 -0; all of it was changed outside of Terraform"):
        assert shown in issue.body
    # What could not be planned is neither drift nor its end.
    assert engine.found == {"live/0": (DRIFT, number), "live/1": (NO_DRIFT, None)}
    assert engine.plans.project_states[keys.project_state(key(0))].issue == number


def test_an_order_of_events_about_many_projects_loses_none():
    engine = Drifting([OUTSIDE] * (MAX_NEW + 2)).play()
    assert len(engine.issues) == MAX_NEW
    assert len(engine.found) == MAX_NEW + 2
    assert engine.found[f"live/{MAX_NEW + 1}"] == (DRIFT, None)


@pytest.mark.parametrize("changes", [[OUTSIDE, NOTHING], [NOTHING, OUTSIDE]])
def test_of_two_plans_of_one_state_the_one_with_changes_counts(changes):
    one_state = {"drift-1": OrderProject(key=key(0), name="live/0 (other variables)")}
    engine = Drifting(changes, projects=one_state).play()
    assert [issue.is_open for issue in engine.issues.values()] == [True]
    assert [kind for kind, _ in engine.found.values()] == [DRIFT]


def test_a_plan_that_cannot_be_read_is_recorded_and_changes_no_issue():
    engine = Drifting([OUTSIDE, NOTHING])
    engine.wake()
    problem = PLANNED.model_copy(update={"problem": "its provider is not the one of the lock file"})
    engine.report("0001", planned=problem)
    engine.wake()
    engine.report("0002", planned=PLANNED, changes=NOTHING)
    engine.wake()
    assert engine.issues == {}
    assert engine.found == {"live/1": (NO_DRIFT, None)}
    (unknown,) = [event for event in engine.runs.event_rows.values() if event.kind == "drift_unknown"]
    assert unknown.reason == "no drift is known of live/0: its provider is not the one of the lock file"


def test_a_run_that_no_schedule_started_reports_no_drift():
    engine = Drifting([OUTSIDE], planned_for=None).play()
    assert (engine.issues, engine.found) == ({}, {})


def test_a_project_that_the_same_run_applies_has_no_drift_any_more():
    applies = {"drift-1": OrderProject(key=key(0), name="live/0", applies=True)}
    engine = Drifting([OUTSIDE, NOTHING], projects=applies).play()
    assert (engine.issues, engine.found) == ({}, {})


@pytest.mark.parametrize("failure", [PortFailed("no tracker"), PortFailed("down", retry_is_safe=True)])
def test_a_host_that_refuses_fails_no_run_and_the_event_says_so(monkeypatch, failure):
    engine = Drifting([OUTSIDE])

    def fail(*arguments):
        raise failure

    monkeypatch.setattr(engine.reports, "report_drift", fail)
    engine.play()
    assert engine.marker.status == "succeeded"
    assert engine.found == {"live/0": (DRIFT, None)}
    assert "issue_failed" in engine.kinds()


def test_a_repository_without_issues_has_the_drift_in_its_events():
    engine = Drifting([OUTSIDE, NOTHING])
    engine.reports.issue_host.issues_problem = "Repository has no issue tracker."
    engine.play()
    event = next(event for event in engine.runs.event_rows.values() if event.kind == DRIFT)
    assert "has no issue tracker" in event.project.note
    assert event.reason == "live/0: +0 ~1 -0; all of it was changed outside of Terraform"
    assert "issue_failed" in engine.kinds()


def test_the_end_of_a_run_may_be_repeated():
    engine = Drifting([OUTSIDE]).play()
    before = dict(engine.issues), dict(engine.runs.event_rows)
    rows = engine.runs.read(RUN_ID)
    engine.orchestrator._finisher._drift.finish(rows.run, rows.orders)
    assert (dict(engine.issues), dict(engine.runs.event_rows)) == before


EARLIER, LATER = "20251231T000000-0123456789ab", "20260102T000000-0123456789ab"


def announced(changes, known=None):
    """Return what a run announces of its one project, about which an earlier run has entered ``known``."""
    engine = Drifting([changes])
    if known is not None:
        engine.plans.write_state(new_state(keys.project_state(key(0)), START).model_copy(update={"drift": known}))
    engine.play()
    assert engine.calls["bus.put"] == 1
    return [one.text.partition(": ")[2] for one in engine.bus.announcements if one.project is not None]


FOUND = f"live/0 differs from its configuration: +0 \N{TILDE OPERATOR}1 -0 (run {RUN_ID})"
GONE = f"the drift of live/0 is gone (run {RUN_ID})"


@pytest.mark.parametrize(
    ("known", "changes", "text"),
    [
        (None, OUTSIDE, [FOUND]),
        (None, NOTHING, []),
        (KnownDrift(is_found=True, run_id=EARLIER), OUTSIDE, []),
        (KnownDrift(is_found=True, run_id=EARLIER), NOTHING, [GONE]),
        (KnownDrift(is_found=False, run_id=EARLIER), OUTSIDE, [FOUND]),
        (KnownDrift(is_found=False, run_id=EARLIER), NOTHING, []),
        (KnownDrift(is_found=True, run_id=LATER), NOTHING, []),
    ],
)
def test_drift_is_announced_when_it_comes_and_when_it_goes(known, changes, text):
    assert announced(changes, known) == text


def test_the_end_of_the_same_run_announces_the_same_again():
    engine = Drifting([OUTSIDE, NOTHING]).play()
    first = list(engine.bus.announcements)
    engine.locks.locks.clear()
    engine.wake()
    assert engine.bus.announcements == [*first, *first]
