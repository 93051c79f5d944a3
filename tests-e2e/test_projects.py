"""The projects of ``examples/monorepo`` on the local cloud: found by git, planned, and applied from the saved plan."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from iac_ci_local.fake_hosts.demo import ENGINE, NUMBER, PERSON
from iac_ci_local.pull_request import opened_pull_request
from iac_ci_local.testing import runs, wait_for_end, wait_until

EXAMPLE = Path(__file__).parents[1] / "examples" / "monorepo"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("code-host")
    with opened_pull_request(EXAMPLE, folder, stack="iac-ci", log_level="INFO") as opened:
        yield opened


def statuses(opened):
    head = opened.demo.project.repository.head("change")
    return {status.context: status.state for status in opened.demo.project.statuses(head)}


def last_comment(opened):
    written = opened.demo.project.comments(NUMBER)
    return [comment.body.replace("\\", "") for comment in written if comment.author == ENGINE][-1]


def bodies(opened):
    written = opened.demo.project.comments(NUMBER)
    return [comment.body.replace("\\", "") for comment in written if comment.author == ENGINE]


def last_run(opened, heading):
    """Return the run of the last comment with a heading."""
    body = [body for body in bodies(opened) if heading in body][-1]
    return re.search(r"run `([0-9T]+-[0-9a-f]+)`", body)[1]


def events_of(opened, run):
    """Return a run's events."""
    return runs(opened.cloud).events(run.trace_id)


def test_a_changed_module_plans_the_three_projects_that_call_it(opened):
    rows = wait_for_end(opened.cloud, opened.first_run())
    names = [order.order_name for order in rows.orders]
    print(f"{len(names)} projects planned: {', '.join(names)}")
    assert names == ["plan-live-dev-app", "plan-live-prod-app", "plan-live-prod-audit"]
    # The statuses are set before the comment.
    wait_until(
        lambda: "### plan: succeeded" in last_comment(opened),
        subject="the comment of the plans",
        seen=lambda: last_comment(opened),
    )
    assert (statuses(opened)["iac-ci/plan"], statuses(opened)["iac-ci/apply"]) == ("success", "pending")


def test_one_project_is_applied_from_its_saved_plan(opened):
    opened.first_run()
    opened.demo.activity.comment(NUMBER, PERSON, "/iac-ci apply live/dev/app")
    wait_until(
        lambda: statuses(opened).get("iac-ci/apply/live/dev/app") == "success",
        subject="the apply",
        seen=lambda: statuses(opened),
    )
    wait_until(
        lambda: "### apply live/dev/app: succeeded" in last_comment(opened),
        subject="the final comment",
        seen=lambda: last_comment(opened),
    )
    assert "apply-live-dev-app" in last_comment(opened)
    assert "prod" not in last_comment(opened)
    # The other projects are still to apply.
    assert statuses(opened)["iac-ci/apply"] == "pending"


def test_the_digest_that_was_planned_shown_and_applied_is_one(opened):
    plan_run = opened.first_run()
    rows = wait_for_end(opened.cloud, plan_run)
    apply_run = last_run(opened, "### apply live/dev/app: succeeded")
    planned = next(order for order in rows.orders if order.order_name == "plan-live-dev-app")
    applied = wait_for_end(opened.cloud, apply_run).orders[0]
    events = [*events_of(opened, rows.run), *events_of(opened, wait_for_end(opened.cloud, apply_run).run)]
    told = {event.plan_sha256 for event in events if event.order_name.endswith("live-dev-app") and event.plan_sha256}
    texts = [body for body in bodies(opened) if "live-dev-app" in body]
    shown = {digest for text in texts for digest in re.findall(r"live-dev-app \|[^\n]*plan `([0-9a-f]{16})`", text)}
    assert planned.planned is not None
    assert planned.planned.problem is None
    digest = planned.planned.sha256
    assert applied.plan_sha256 == digest
    assert told == {digest}
    assert shown == {digest[:16]}
    print(f"planned, shown and applied: {digest}")


def test_a_plan_is_applied_once(opened):
    opened.demo.activity.comment(NUMBER, PERSON, "/iac-ci apply live/dev/app")
    wait_until(
        lambda: "was applied by run" in last_comment(opened), subject="the answer", seen=lambda: last_comment(opened)
    )
    assert last_run(opened, "### apply live/dev/app: succeeded") == last_run(opened, "### apply")
