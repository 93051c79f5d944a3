"""Plans that an apply has made stale are made again by themselves, by the rules of the pull request's own event."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from iac_ci_common import keys
from iac_ci_common.errors import ConfigurationProblems, PortFailed
from iac_ci_common.models.answer import ReplanTask
from iac_ci_common.models.saved_plan import Replan
from iac_ci_init import wiring
from iac_ci_init.handler import handler
from iac_ci_triggers.configuration import read_configuration
from iac_ci_vcs.provider import ChangedFile, ChangeKind, Permission

sys.path.insert(0, str(Path(__file__).parent))
from event_harness import STRANGER, WRITER
from test_projects_of_events import CONFIGURATION, FILES
from test_reviewed_plans import BY_HAND, OTHER, Planned, _push

REPLANNING = CONFIGURATION.replace(b"    role:", b"    replan_when_stale: true\n    role:")
LATER = OTHER.model_copy(update={"run_id": "20251231T000000-bbbbbbbbbbbb", "pull_request": None})


class Replanned(Planned):
    """A repository whose pull request was planned, and whose project another pull request applied since."""

    def __init__(self, configuration=REPLANNING, **fields):
        super().__init__(configuration, **fields)
        self.applied(OTHER)
        self.before = len(self.jobs)

    def plan_again(self, by=OTHER, **fields):
        """Let the orchestrator ask for it."""
        replan = {
            "trigger_id": "20260101T000100-cccccccccccc",
            "at": self.clock.now(),
            "repository": self.jobs[0].job.git_repo,
            "number": 7,
            "plan": self.record.key,
            "project": self.record.project,
            "applied_by": by.run_id,
            "applied_by_order": by.order_num,
            "applied_by_pull_request": by.pull_request,
        }
        self.processor.plan_again(Replan(**(replan | fields)))

    @property
    def started(self):
        """Return the jobs that were started since."""
        return self.jobs[self.before :]

    @property
    def why_not(self):
        """Return why nothing was started, as the log says it."""
        return [fields["reason"] for _, text, fields in self.logger.lines if text == "event starts nothing"][-1]


def test_a_stale_plan_is_made_again_at_the_pull_requests_own_head():
    hosted = Replanned()
    first = hosted.jobs[0]
    hosted.plan_again()
    (job,) = hosted.started
    assert [order.order_name for order in job.job.orders] == ["plan-live-net"]
    # The order of the pull request's own event, with the same commands, role and secrets, as a comment would name it.
    (order,), (own,) = job.job.orders, first.job.orders
    assert order == own.model_copy(update={"env_vars": own.env_vars | {"IACCI_TARGET": "live-net"}})
    assert job.job.commit_hash == first.job.commit_hash
    assert job.projects == first.projects
    assert (job.actor, job.job_name, job.scope.target, job.scope.whole) == (WRITER.login, "plan", "live-net", False)
    because = f"planned again because run {OTHER.run_id} of pull request 12 applied live/net"
    assert job.scope.because == because
    assert first.scope.because is None
    assert first.projects["plan-live-net"].replans


def test_what_is_asked_twice_is_planned_once():
    hosted = Replanned()
    hosted.plan_again()
    hosted.plan_again()
    hosted.clock.advance(3 * 3600)
    hosted.plan_again(trigger_id="20260101T000200-dddddddddddd")
    assert len(hosted.started) == 1


def test_another_apply_makes_the_plan_again_once_more():
    hosted = Replanned()
    hosted.plan_again()
    hosted.plan_again(LATER)
    hosted.plan_again(OTHER.model_copy(update={"order_num": "0004"}))
    first, second, third = hosted.started
    assert len({first.run_id, second.run_id, third.run_id}) == 3
    assert second.scope.because == f"planned again because run {LATER.run_id} applied live/net"


def test_nothing_is_written_into_the_pull_request_but_the_run_itself():
    hosted = Replanned()
    written, statuses, reactions = list(hosted.host.written), len(hosted.host.statuses), list(hosted.host.reactions)
    hosted.plan_again()
    assert (hosted.host.written, len(hosted.host.statuses), hosted.host.reactions) == (written, statuses, reactions)


def _close(hosted):
    hosted.change(is_open=False)


def _draft(hosted):
    hosted.configure(
        BY_HAND.replace(b"pull_request: {}", b"pull_request: {drafts: false}").replace(
            b"file: net.tfplan", b"file: net.tfplan, replan_when_stale: true"
        )
    )
    hosted.change(is_draft=True)


def _retarget(hosted):
    hosted.change(base_branch="release")
    hosted.configure(REPLANNING, branch="release", commit="7" * 40)


def _leave_out(hosted):
    hosted.configure(REPLANNING.replace(b"live/**/main.tf", b"live/app/main.tf"))


def _take_back(hosted):
    hosted.configure(CONFIGURATION)


def _spoil(hosted):
    hosted.configure(b"version: 2\n")


def _untouch(hosted):
    hosted.changed(ChangedFile("README.md", ChangeKind.MODIFIED))


def _lose_rights(hosted):
    hosted.host.permissions[WRITER.id] = Permission.READ


def _fork(hosted):
    hosted.change(is_fork=True)


def _plan(hosted):
    saved = hosted.record.saved.model_copy(update={"generation": 2})
    hosted.edit(saved=saved)


def _revoke(hosted):
    """The role is not granted any more."""
    hosted.configure(REPLANNING.replace(b"timeout: 200", b"timeout: 200, secrets: {T: ssm:/elsewhere/x}"))


REFUSED = {
    "it is closed": (_close, "the pull request is closed"),
    "a newer commit": (_push, "has another commit"),
    "another base that the stack does not use": (_retarget, "this stack does not use the configuration of the branch"),
    "its project is gone": (_leave_out, "starts no job that plans the project"),
    "the base's file wants it no more": (_take_back, "has no replan_when_stale for the project any more"),
    "the base's file has problems": (_spoil, "is missing or has problems"),
    "the pull request does not touch the job": (_untouch, "starts no job that plans the project"),
    "its author may not write any more": (_lose_rights, "needs an approval"),
    "it comes from a fork": (_fork, "needs an approval"),
    "it was planned meanwhile": (_plan, "was planned again meanwhile"),
    "its plan is forgotten": (lambda hosted: None, "has no plan of the project any more"),
    "a secret is not granted": (_revoke, "cannot be planned again"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_rules_of_the_pull_requests_own_event_hold(case):
    make, words = REFUSED[case]
    hosted = Replanned()
    key = hosted.record.key
    make(hosted)
    if "forgotten" in case:
        hosted.plan_again(plan=keys.plan_record_of(key, 8))
    else:
        hosted.plan_again()
    assert hosted.started == []
    assert words in hosted.why_not


def test_a_draft_that_waits_is_not_planned_again():
    hosted = Planned(BY_HAND.replace(b"file: net.tfplan", b"file: net.tfplan, replan_when_stale: true"))
    record = next(one for one in hosted.plans.plan_records.values() if one.name == "live/net")
    hosted.plans.plan_records = {record.key: record}
    hosted.applied(OTHER)
    _draft(hosted)
    before = len(hosted.jobs)
    Replanned.plan_again(hosted)
    assert len(hosted.jobs) == before
    hosted.change(is_draft=False)
    Replanned.plan_again(hosted)
    assert [order.order_name for order in hosted.jobs[-1].job.orders] == ["plan-net"]


def test_a_commit_of_a_fork_that_was_approved_is_planned_again():
    hosted = Replanned()
    hosted.change(is_fork=True, author=STRANGER)
    hosted.comment(f"/iac-ci approve {hosted.record.commit}")
    before = len(hosted.jobs)
    hosted.plan_again()
    assert len(hosted.jobs) == before + 1
    assert hosted.jobs[-1].actor == STRANGER.login


def test_a_repository_that_is_not_connected_any_more_is_left_alone():
    hosted = Replanned()
    hosted.plan_again(repository="https://github.com/acme/other.git")
    assert hosted.started == []


def test_only_the_project_of_the_stale_plan_is_planned():
    hosted = Planned(REPLANNING, changed="modules/vpc/main.tf")
    assert len(hosted.plans.plan_records) == 2
    record = next(one for one in hosted.plans.plan_records.values() if one.name == "live/app")
    hosted.plans.plan_records = {record.key: record}
    hosted.applied(OTHER)
    Replanned.plan_again(hosted)
    assert list(hosted.orders) == ["plan-live-app"]


def test_a_newer_commit_cancels_the_run_like_any_other():
    hosted = Replanned()
    hosted.plan_again()
    (job,) = hosted.started
    _push(hosted)
    hosted.code(FILES)
    hosted.pull_request("synchronize")
    ledger = hosted.ledgers.read(job.ledger)
    assert ledger.run(job.run_id).cancel_reason.startswith("superseded")


def test_the_function_takes_the_task_and_raises_what_lambda_should_try_again(monkeypatch):
    hosted = Replanned()
    monkeypatch.setattr(wiring, "event_processor", lambda: hosted.processor)
    task = ReplanTask(
        replan=Replan(
            trigger_id="20260101T000100-cccccccccccc",
            at=hosted.clock.now(),
            repository=hosted.jobs[0].job.git_repo,
            number=7,
            plan=hosted.record.key,
            project=hosted.record.project,
            applied_by=OTHER.run_id,
            applied_by_order=OTHER.order_num,
        )
    ).model_dump(mode="json")
    original = hosted.host.pull_request

    def fails(number):
        raise PortFailed("no answer", retry_is_safe=True)

    monkeypatch.setattr(hosted.host, "pull_request", fails)
    with pytest.raises(PortFailed):
        handler(task, None)
    monkeypatch.setattr(hosted.host, "pull_request", original)
    assert handler(task, None) == {"triggered": "20260101T000100-cccccccccccc"}
    assert len(hosted.started) == 1


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (REPLANNING.replace(b"    role:", b"    autoplan: false\n    role:"), "projects[0]", "needs autoplan"),
        (REPLANNING.replace(b"    role:", b"    tool: terragrunt\n    role:"), "projects[0]", "that the engine reads"),
        (
            BY_HAND.replace(b"pull_request: {}, ", b"").replace(
                b"file: net.tfplan", b"file: net.tfplan, replan_when_stale: true"
            ),
            "jobs.preview.orders[0].plan.replan_when_stale",
            "only a command plans this",
        ),
    ],
)
def test_where_nothing_would_be_planned_again_the_configuration_has_a_problem(text, where, what):
    with pytest.raises(ConfigurationProblems) as raised:
        read_configuration(text)
    (problem,) = raised.value.problems
    assert where in problem.where
    assert what in problem.what
