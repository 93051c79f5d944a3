"""What another pull request shows when its plan has become stale, on the three code hosts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from iac_ci_common import keys
from iac_ci_common.models.saved_plan import PlannedFile, PlanRecord, ProjectApply, Replan, SavedPlan
from iac_ci_common.models.sealed import Sealed
from iac_ci_common.project_states import new_state
from iac_ci_local.fake_hosts.demo import SHAPES
from iac_ci_local.fake_hosts.project import Project
from iac_ci_local.fake_hosts.repository import HostedRepository

from .conftest import AUTHOR, ENGINE
from .engine import Engine

CONFIGURATION = b"""
version: 1
projects: [{find: "live/*/main.tf", replan_when_stale: true}]
"""
DIGEST = "a" * 64


@pytest.fixture(params=SHAPES)
def kind(request):
    return request.param


@pytest.fixture
def project(tmp_path):
    repository = HostedRepository.create(tmp_path / "bare.git")
    repository.commit("main", {".iac-ci.yml": CONFIGURATION, "live/net/main.tf": b"# 1\n"}, "base")
    repository.commit("change", {"live/net/main.tf": b"# 2\n"}, "head", start="main")
    return Project("demo", "pets", repository, {"engine-token": ENGINE}, {"engine": "write", "author": "admin"})


@pytest.fixture
def engine(host, project):
    made = Engine(host, project, datetime.now(UTC))
    project.open_pull_request(title="t", author=AUTHOR, head_branch="change", base_branch="main")
    made.activity.opened(1)
    made.end()
    return made


def record(engine):
    """Return the plan of the pull request as the orchestrator enters it."""
    stored, now = engine.jobs[0], engine.clock.now()
    (project,) = stored.projects.values()
    saved = SavedPlan(
        run_id=stored.run_id,
        order_num="0001",
        order_name="plan-live-net",
        file="iac-ci.tfplan",
        planned=PlannedFile(sha256="b" * 64, tool="terraform", workspace="default"),
        files=Sealed(sha256="c" * 64, size=10, identity="YQ=="),
        generation=0,
    )
    return PlanRecord(
        key=project.record,
        project=project.key,
        name=project.name,
        pull_request=1,
        repository=stored.job.git_repo,
        commit=stored.job.commit_hash,
        base="main",
        saved=saved,
        planned_at=now,
        usable_until=now + timedelta(days=13),
        expires_at=now + timedelta(days=14),
    )


def comments(engine):
    return [one.body.replace("\\", "") for one in engine.project.comments(1) if one.author == ENGINE]


def test_a_stale_plan_is_shown_and_its_status_waits_until_it_is_planned_again(engine, kind):
    plan, target = record(engine), engine.runs.read(engine.jobs[0].run_id).run.report
    by = ProjectApply(
        run_id="20260101T000000-aaaaaaaaaaaa", order_num="0001", pull_request=12, began_at=engine.clock.now()
    )
    engine.reports.notify_stale(target, plan, by)
    engine.reports.notify_stale(target, plan, by)
    (shown,) = [body for body in comments(engine) if "is stale" in body]
    assert "The plan of live/net is stale" in shown
    assert "Pull request 12 applied the project" in shown
    assert "`/iac-ci plan`" in shown
    head = engine.project.repository.head("change")
    states = {status.context: status.state for status in engine.project.statuses(head)}
    assert states["iac-ci/plan"] in {"pending", "running"}
    engine.reports.notify_planned_again(target, plan)
    assert not [body for body in comments(engine) if "is stale" in body]
    print(f"{kind}: a stale plan is shown in one comment, and iac-ci/plan waits")


def test_a_stale_plan_is_made_again_by_the_rules_of_the_pull_request(engine, kind):
    plan, now = record(engine), engine.clock.now()
    engine.plans.plan_records[plan.key] = plan
    by = ProjectApply(run_id="20260101T000000-aaaaaaaaaaaa", order_num="0001", pull_request=12, began_at=now)
    key = keys.project_state(plan.project)
    engine.plans.project_states[key] = new_state(key, now).model_copy(update={"generation": 2, "last": by})
    replan = Replan(
        trigger_id="20260101T000100-cccccccccccc",
        at=now,
        repository=plan.repository,
        number=1,
        plan=plan.key,
        project=plan.project,
        applied_by=by.run_id,
        applied_by_order=by.order_num,
        applied_by_pull_request=12,
    )
    engine.plan_again(replan)
    engine.plan_again(replan)
    first, again = engine.jobs
    assert (again.job.commit_hash, again.actor) == (first.job.commit_hash, first.actor)
    (shown,) = [body for body in comments(engine) if "planned again because" in body]
    assert f"planned again because run {by.run_id} of pull request 12 applied live/net" in shown
    engine.end()
    head = engine.project.repository.head("change")
    states = {status.context: status.state for status in engine.project.statuses(head)}
    assert states["iac-ci/plan"] == "success"
    engine.activity.close(1)
    engine.plan_again(replan.model_copy(update={"applied_by_order": "0002"}))
    assert len(engine.jobs) == 2
    print(f"{kind}: a stale plan is made again by itself, once, and not after the end of the pull request")


def test_a_closed_pull_request_and_a_newer_head_get_no_comment(engine):
    plan, target = record(engine), engine.runs.read(engine.jobs[0].run_id).run.report
    by = ProjectApply(run_id="20260101T000000-aaaaaaaaaaaa", order_num="0001", began_at=engine.clock.now())
    engine.reports.notify_stale(target, plan.model_copy(update={"commit": "9" * 40}), by)
    assert not [body for body in comments(engine) if "is stale" in body]
    assert plan.key == keys.plan_record_of(plan.key, 1)
