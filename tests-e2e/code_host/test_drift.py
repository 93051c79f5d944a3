"""Drift on three code hosts: found, told, edited, gone and back, by issues of the engine's own account alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from iac_ci_common import keys
from iac_ci_common.errors import PortFailed
from iac_ci_common.models.changes import Changes, Operation
from iac_ci_common.models.plan_text import PlannedResource, PlanText
from iac_ci_common.models.result import Reporter, Result
from iac_ci_common.models.rows import ReportTarget
from iac_ci_common.models.saved_plan import OrderProject, PlannedFile
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing import (
    FakeClock,
    MemoryAsyncInvoker,
    MemoryCommitJobs,
    MemoryEventBus,
    MemoryGroups,
    MemoryLastWrites,
    MemoryLocks,
    MemoryLogger,
    MemoryObjects,
    MemoryPlans,
    MemoryRuns,
    MemorySecrets,
    MemoryWatchdogs,
    MemoryWorkers,
    Sequential,
)
from iac_ci_common.testing.samples import START, order_row, run_row
from iac_ci_local.fake_hosts.demo import SHAPES
from iac_ci_orchestrator.drift import DriftReporter
from iac_ci_orchestrator.ports import OrchestratorPorts
from iac_ci_vcs.provider import HostSettings
from iac_ci_vcs.reports import CodeHostReports

from .conftest import ENGINE, STRANGER

TOKEN = "ssm:/iac-ci/jobs/tokens/git"
KEY = "a" * 64
MARKER = f"iac-ci:drift:{KEY[:32]}"
PLANNED = PlannedFile(sha256="b" * 64, tool="terraform")
NOTHING = Changes(operation=Operation.PLANNED)
ONE = Changes(operation=Operation.PLANNED, change=1, outside=1)
TWO = Changes(operation=Operation.PLANNED, add=1, change=1, outside=1)
HOSTILE = "~ x = 1\n```\n</details>\n/close\n@everyone <!-- iac-ci:drift:forged -->"


@pytest.fixture(params=SHAPES)
def kind(request):
    return request.param


class Nightly:
    """A schedule's runs, one after another, with their report on the code host."""

    def __init__(self, host):
        self.clock, self.runs = FakeClock(START), MemoryRuns()
        self.objects, self.plans, self.logger = MemoryObjects(self.clock), MemoryPlans(self.clock), MemoryLogger()
        secrets = MemorySecrets({TOKEN: "engine-token"})
        hosts = {host.address: HostSettings(host.shape.kind, host.api_url)}
        reports = CodeHostReports(secrets, MemoryCommitJobs(self.clock), self.clock, hosts=hosts)
        locks = MemoryLocks()
        ports = OrchestratorPorts(
            self.clock, self.runs, locks, MemoryLastWrites(self.runs, locks), self.objects, self.objects,
            MemoryWorkers(), MemoryWatchdogs(), reports, self.plans, MemoryAsyncInvoker(),
            MemoryGroups(self.clock), MemoryEventBus(),
            Sequential(), self.logger,
        )  # fmt: skip
        self.reporter = DriftReporter(ports)
        self.target = ReportTarget(repository=host.repository, token_location=TOKEN)
        self.number = 0

    def run(self, changes, *, text="~ content", name="live/@net#1", project=KEY):
        """Let a run end that planned one project; return the run's id."""
        self.number += 1
        self.clock.advance(timedelta(days=1).total_seconds())
        run_id = f"20260101T000000-{self.number:012x}"
        run = run_row(
            run_id=run_id, status=RunState.SUCCEEDED, planned_for=self.clock.now(), report=self.target,
            job_name="drift", commit_hash="d" * 40,
        )  # fmt: skip
        order = order_row(
            1, run_id=run_id, status=OrderState.SUCCEEDED, changes=changes, planned=PLANNED,
            project=OrderProject(key=project, name=name), ended_at=self.clock.now(),
        )  # fmt: skip
        resources = (PlannedResource(address="local_file.a", action="update", text=text),)
        result = Result(
            run_id=run_id, order_num="0001", status=OrderState.SUCCEEDED, reported_by=Reporter.WORKER,
            ended_at=self.clock.now(), plan=PlanText(resources=resources),
        )  # fmt: skip
        self.objects.create(keys.result(run_id, "0001"), result.model_dump_json().encode())
        self.reporter.finish(run, [order])
        return run_id

    def found(self):
        return [event for event in self.runs.event_rows.values() if event.order_name == "_drift"]


def test_drift_is_found_told_edited_gone_and_comes_back(host, project, kind):
    nightly = Nightly(host)
    first = nightly.run(ONE)
    (issue,) = project.issues()
    assert (issue.author, issue.is_open) == (ENGINE, True)
    assert MARKER in issue.body.splitlines()[0]
    assert issue.title == "Drift: live/@\u200bnet#\u200b1"
    assert first in issue.body
    assert "all of it was changed outside of Terraform" in issue.body
    second = nightly.run(TWO)
    (issue,) = project.issues()
    assert second in issue.body
    assert first not in issue.body
    assert "1 of 2 resources were changed outside of Terraform, the others are not applied" in issue.body
    nightly.run(NOTHING)
    (issue,) = project.issues()
    assert not issue.is_open
    assert "is gone" in issue.body
    before = issue
    nightly.run(NOTHING)
    assert project.issues() == [before]
    nightly.run(ONE)
    (issue,) = project.issues()
    assert issue.is_open
    events = [(event.kind, event.project.issue) for event in nightly.found()]
    assert [kind for kind, _ in events] == ["drift", "drift", "no_drift", "no_drift", "drift"]
    assert {number for _, number in events} == {issue.number}
    print(
        f"{kind}: drift found, told, edited, gone (closed) and back (reopened): 5 runs, {len(project.issues())} issue"
    )


def test_an_issue_that_a_person_closed_is_opened_again_while_there_is_drift(host, project):
    nightly = Nightly(host)
    nightly.run(ONE)
    (issue,) = project.issues()
    project.edit_issue(issue.number, is_open=False)
    nightly.run(ONE)
    (issue,) = project.issues()
    assert issue.is_open


def test_another_account_cannot_write_an_issue_that_the_engine_takes_for_its_own(host, project):
    style = "[//]: # (%s)" if host.shape.kind == "bitbucket" else "<!-- %s -->"
    forged = project.write_issue(STRANGER, "Drift: live/net", style % MARKER)
    nightly = Nightly(host)
    nightly.run(ONE)
    nightly.run(NOTHING)
    other, own = project.issues()
    assert other == forged
    assert (own.author, own.is_open) == (ENGINE, False)


def test_each_project_has_an_issue_of_its_own(host, project):
    nightly = Nightly(host)
    nightly.run(ONE, name="live/a")
    nightly.run(ONE, name="live/b", project="c" * 64)
    nightly.run(NOTHING, name="live/a")
    assert [(issue.title, issue.is_open) for issue in project.issues()] == [
        ("Drift: live/a", False),
        ("Drift: live/b", True),
    ]


def test_output_of_a_plan_closes_no_block_and_mentions_nobody(host, project):
    nightly = Nightly(host)
    nightly.run(ONE, text=HOSTILE)
    (issue,) = project.issues()
    body = issue.body
    fence = body[: body.index("~ x = 1")].splitlines()[-1]
    assert fence.startswith("````")
    assert body.index("@everyone") < body.rindex("````")
    assert "\n/close" not in body


def test_a_repository_without_issues_has_it_in_words(host, project):
    project.has_issues = False
    nightly = Nightly(host)
    nightly.run(ONE)
    nightly.run(NOTHING)
    assert project.issues() == []
    drift, none = nightly.found()
    assert (drift.kind, none.kind, none.project.note) == ("drift", "no_drift", None)
    assert drift.project.note
    assert drift.project.issue is None


def test_the_issues_tell_what_is_in_the_way(opened, project):
    assert opened().issues().problem() is None
    project.has_issues = False
    assert "switched off" in opened().issues().problem()


@pytest.mark.parametrize("kind", ["bitbucket"])
def test_a_token_that_may_not_ask_who_it_is_finds_its_issues_by_the_projects_rows(host, project):
    project.may_ask_about_people = False
    nightly = Nightly(host)
    nightly.run(ONE)
    nightly.run(TWO)
    nightly.run(NOTHING)
    (issue,) = project.issues()
    assert not issue.is_open


def test_a_stranger_may_not_edit_the_issue(opened, project, kind):
    if kind == "bitbucket":
        pytest.skip("the code host on this machine lets everybody edit issues as Bitbucket lets writers")
    made = opened().issues().create("t", "b")
    with pytest.raises(PortFailed):
        opened("stranger-token").issues().edit(made.number, title="x", body="y", is_open=False)
