"""The projects of ``examples/monorepo`` on the local cloud: found by git, planned, and applied from the saved plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from iac_ci_local.fake_hosts.demo import ENGINE, NUMBER, PERSON
from iac_ci_local.pull_request import opened_pull_request
from iac_ci_local.testing import wait_for_end, wait_until

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


def test_a_changed_module_plans_the_three_projects_that_call_it(opened):
    rows = wait_for_end(opened.cloud, opened.first_run())
    names = [order.order_name for order in rows.orders]
    print(f"{len(names)} projects planned: {', '.join(names)}")
    assert names == ["plan-live-dev-app", "plan-live-prod-app", "plan-live-prod-audit"]
    wait_until(lambda: statuses(opened).get("iac-ci/plan") == "success", subject="the plans")
    assert statuses(opened)["iac-ci/apply"] == "pending"


def test_one_project_is_applied_from_its_saved_plan(opened):
    opened.first_run()
    opened.demo.activity.comment(NUMBER, PERSON, "/iac-ci apply live/dev/app")
    wait_until(lambda: statuses(opened).get("iac-ci/apply/live/dev/app") == "success", subject="the apply")
    wait_until(lambda: "### apply live/dev/app: succeeded" in last_comment(opened), subject="the final comment")
    assert "apply-live-dev-app" in last_comment(opened)
    assert "prod" not in last_comment(opened)
    # The other projects are still to apply.
    assert statuses(opened)["iac-ci/apply"] == "pending"
