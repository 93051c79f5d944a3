"""When a pull request is merged because everything that it planned has been applied."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from iac_ci_common.errors import PortFailed
from iac_ci_common.models.commit_job import CommitJob, JobOnPull, JobPart, Plans
from iac_ci_common.models.rows import JobScope, ReportTarget
from iac_ci_vcs.merge_verdicts import MergeStep
from iac_ci_vcs.provider import Account, CommentStyle, CommitState, CommitStatus, PullRequest
from iac_ci_vcs.reporting.folded_status import plans_for, with_plans
from iac_ci_vcs.reporting.merge_readiness import MERGE, applied_verdict, pull_verdict, render_not_merged
from iac_ci_vcs.testing import MemoryReports

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEAD = "a" * 40
R1, R2, R3 = (f"20260101T00000{number}-{'0' * 12}" for number in (1, 2, 3))
PULL = PullRequest(7, "t", Account("1", "ann"), True, HEAD, "b", "o/r", "0" * 40, "main", is_fork=False, url="u")
TARGET = ReportTarget(
    repository="https://github.com/o/r.git",
    number=7,
    pull_request=7,
    scope=JobScope(base="main", before_merge=("apply",), merge_when_applied=True),
)


def job(orders, planned=None, others=None):
    pulls = {"7": JobOnPull(base="main", since=R1, orders=orders, planned=planned or {})}
    pulls |= {number: JobOnPull(base="main", since=R1, orders=theirs) for number, theirs in (others or {}).items()}
    return CommitJob(key="k", pulls=pulls, expires_at=NOW)


DONE = f"{R2} succeeded"


@pytest.mark.parametrize(
    ("orders", "step", "reason"),
    [
        ({"dns": DONE, "net": DONE}, MergeStep.MERGE, ""),
        ({"dns": DONE, "net": f"{R1} nothing"}, MergeStep.MERGE, ""),
        ({"dns": DONE, "net": f"{R2} skipped optional"}, MergeStep.MERGE, ""),
        ({"dns": DONE, "net": "not_run"}, MergeStep.WAIT, "status of the job apply"),
        ({"dns": DONE, "net": f"{R2} running"}, MergeStep.WAIT, "status of the job apply"),
        ({"dns": DONE, "net": f"{R2} failed"}, MergeStep.WAIT, "status of the job apply"),
        ({"dns": DONE, "net": f"{R2} timed_out"}, MergeStep.WAIT, "status of the job apply"),
        ({"dns": DONE, "net": f"{R2} melted"}, MergeStep.WAIT, "status of the job apply"),
        ({"dns": f"{R1} nothing", "net": f"{R1} nothing"}, MergeStep.WAIT, "nothing was applied"),
        ({}, MergeStep.WAIT, "nothing was applied"),
        ({"dns": DONE, "net": f"{R2} failed optional"}, MergeStep.REFUSE, "not everything succeeded: net"),
        ({"dns": DONE, "net": f"{R2} cancelled optional"}, MergeStep.REFUSE, "not everything succeeded: net"),
        ({"dns": DONE, "net": f"{R2} succeeded destroyed"}, MergeStep.REFUSE, "a plan to destroy was applied"),
    ],
)
def test_everything_that_was_planned_has_to_be_applied(orders, step, reason):
    verdict = applied_verdict({"apply": job(orders)}, 7, "main")
    assert verdict.step is step
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("plan", "entry", "step"),
    [
        (f"{R1} changes", DONE, MergeStep.MERGE),
        (f"{R3} nothing", DONE, MergeStep.MERGE),
        (f"{R3} changes", DONE, MergeStep.REFUSE),
        (f"{R1} changes", None, MergeStep.REFUSE),
        (f"{R1} nothing", None, MergeStep.MERGE),
    ],
    ids=["applied", "planned again without changes", "planned again", "another project", "another without changes"],
)
def test_what_is_planned_after_its_apply_is_to_be_applied(plan, entry, step):
    orders = {"dns": DONE} | ({"net": entry} if entry is not None else {})
    assert applied_verdict({"apply": job(orders, {"net": plan})}, 7, "main").step is step


def test_each_job_before_the_merge_counts():
    apply, deploy = job({"dns": DONE}), job({"site": "not_run"})
    assert applied_verdict({"apply": apply, "deploy": deploy}, 7, "main").step is MergeStep.WAIT
    assert applied_verdict({"apply": apply, "deploy": None}, 7, "main").step is MergeStep.WAIT
    assert applied_verdict({"apply": apply, "deploy": job({})}, 7, "main") == MERGE


def test_what_was_applied_for_another_base_branch_does_not_count():
    assert applied_verdict({"apply": job({"dns": DONE})}, 7, "release").step is MergeStep.WAIT


def test_another_pull_request_with_the_same_commit_holds_the_status():
    assert applied_verdict({"apply": job({"dns": DONE}, others={"8": {"dns": "not_run"}})}, 7, "main").step is (
        MergeStep.WAIT
    )


@pytest.mark.parametrize(
    ("fields", "step"),
    [
        ({}, MergeStep.MERGE),
        ({"is_draft": True}, MergeStep.REFUSE),
        ({"is_open": False}, MergeStep.WAIT),
        ({"is_open": False, "is_merged": True}, MergeStep.WAIT),
        ({"head_sha": "b" * 40}, MergeStep.WAIT),
        ({"head_sha": ""}, MergeStep.WAIT),
        ({"base_branch": "release"}, MergeStep.WAIT),
    ],
)
def test_only_an_open_pull_request_at_the_applied_commit_is_merged(fields, step):
    assert pull_verdict(replace(PULL, **fields), HEAD, "main").step is step


def test_the_newest_plans_of_orders_are_kept():
    known = CommitJob(
        key="k",
        pulls={"7": JobOnPull(base="main", since=R1, orders={"dns": "not_run"}, planned_by={"dns": "plan/dns"})},
        expires_at=NOW,
    )
    changes = {"plan/dns": True, "plan/net": True}
    plans = Plans(7, "main", R2, changes, are_kept=True, appliers={"net": "plan/net"})
    kept = with_plans(known, plans)
    assert kept.pulls["7"].planned == {"dns": f"{R2} changes", "net": f"{R2} changes"}
    assert kept.pulls["7"].orders == {"dns": "not_run"}, "the status does not wait for what no event names"
    later = replace(plans, source=R3, changes={"plan/net": False})
    assert with_plans(kept, later).pulls["7"].planned["net"] == f"{R3} nothing"
    assert with_plans(with_plans(kept, later), plans).pulls["7"].planned["net"] == f"{R3} nothing"
    assert with_plans(known, replace(plans, are_kept=False)).pulls["7"].planned == {}


def test_each_job_keeps_the_plans_of_its_own_orders():
    plans = Plans(7, "main", R2, {"plan/net": True}, are_kept=True, appliers={"apply/net": "plan/net"})
    assert plans_for(plans, "apply").appliers == {"net": "plan/net"}
    assert plans_for(plans, "deploy").appliers == {}


@pytest.fixture
def reports():
    made = MemoryReports()
    made.merge_host.pulls[7] = PULL
    own = CommitStatus(HEAD, "iac-ci/apply", CommitState.SUCCESS, "")
    made.mark_job(TARGET, own, JobPart(7, "main", R1, {"dns": "succeeded"}, whole=True))
    return made


def test_the_applied_commit_is_merged_once(reports):
    assert reports.merge_applied(TARGET, HEAD).verdict.step is MergeStep.MERGE
    assert reports.merge_applied(TARGET, HEAD).verdict.step is MergeStep.MERGE
    assert reports.merge_host.merged == [(7, HEAD)]
    assert reports.merge_host.written == []


def test_a_person_who_merges_first_is_no_failure(reports):
    reports.merge_host.pulls[7] = replace(PULL, is_open=False, is_merged=True)
    assert reports.merge_applied(TARGET, HEAD).verdict.step is MergeStep.MERGE
    assert reports.merge_host.merged == []


def test_a_refusal_is_written_once_and_replaced_by_the_merge(reports):
    host = reports.merge_host
    host.merge_problem = "HTTP 405: At least 1 approving review is required"
    for _ in range(2):
        assert reports.merge_applied(TARGET, HEAD).verdict.step is MergeStep.REFUSE
    [comment] = host.comments[7]
    assert "At least 1 approving review is required" in comment.body
    assert "Merge this commit yourself" in comment.body
    host.merge_problem = None
    assert reports.merge_applied(TARGET, HEAD).verdict.step is MergeStep.MERGE
    assert "was merged at the applied commit" in host.comments[7][0].body


def test_a_refusal_because_of_a_newer_commit_writes_nothing(reports):
    class Pushed(type(reports.merge_host)):
        def merge(self, number, commit):
            self.pulls[number] = replace(PULL, head_sha="b" * 40)
            return "HTTP 409: Head branch was modified"

    reports.merge_host = Pushed()
    reports.merge_host.pulls[7] = PULL
    assert reports.merge_applied(TARGET, HEAD).verdict.step is MergeStep.WAIT
    assert reports.merge_host.written == []


def test_a_comment_that_fails_keeps_the_verdict(reports, monkeypatch):
    host = reports.merge_host
    host.merge_problem = "no"

    def refuse(*arguments):
        raise PortFailed("the host is down", retry_is_safe=True)

    monkeypatch.setattr(host, "create_comment", refuse)
    report = reports.merge_applied(TARGET, HEAD)
    assert report.verdict.step is MergeStep.REFUSE
    assert report.comment_error is not None


def test_nothing_is_merged_that_is_not_to_be_merged(reports):
    off = TARGET.model_copy(update={"scope": TARGET.scope.model_copy(update={"merge_when_applied": False})})
    for target in (off, TARGET.model_copy(update={"pull_request": None}), TARGET.model_copy(update={"scope": None})):
        assert reports.merge_applied(target, HEAD).verdict.step is MergeStep.WAIT
    assert reports.merge_host.merged == []


@pytest.mark.parametrize("reason", ["HTTP 405: a review is required", "HTTP 405: a review is required."])
def test_a_reason_of_the_host_ends_with_one_full_stop(reason):
    text = render_not_merged("a" * 40, reason, CommentStyle())
    assert "a review is required. Commit" in text
