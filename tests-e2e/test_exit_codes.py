"""``terraform plan -detailed-exitcode`` from a pull request and from the API, and orders that are repeated."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from iac_ci_common.ports import RunRows
from iac_ci_common.states import OrderState, RunState
from iac_ci_local.fake_hosts.demo import ENGINE, NUMBER
from iac_ci_local.pull_request import OpenedPullRequest, opened_pull_request
from iac_ci_local.testing import done_marker, log_of, runs, submit, wait_for_end, wait_until

pytestmark = pytest.mark.local_cloud

EXAMPLE = Path(__file__).parents[1] / "examples" / "pull-request"

CONFIGURATION = """
version: 1
defaults: {timeout: 120}
jobs:
  plan:
    on: {pull_request: {}}
    matrix: {directory: [network, empty]}
    orders:
      - name: "plan-{{ matrix.directory }}"
        folder: "{{ matrix.directory }}"
        env_vars: {TF_VAR_registry_token: none}
        cmds:
          - terraform init -input=false -no-color
          - run: terraform plan -input=false -no-color -detailed-exitcode
            ok: [0, 2]
      - name: "after-{{ matrix.directory }}"
        depends_on: ["plan-{{ matrix.directory }}"]
        when: {"plan-{{ matrix.directory }}": changed}
        cmds: [echo it has changes]
"""

STATES = {
    "plan-network": (OrderState.SUCCEEDED, 2, True),
    "after-network": (OrderState.SUCCEEDED, 0, False),
    "plan-empty": (OrderState.SUCCEEDED, 0, False),
    "after-empty": (OrderState.SKIPPED, None, False),
}
REASON = "plan-empty is not changed, which `when` requires"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenedPullRequest]:
    example = tmp_path_factory.mktemp("example") / "repository"
    shutil.copytree(EXAMPLE, example)
    (example / "base" / ".iac-ci.yml").write_text(CONFIGURATION, "utf-8")
    (example / "base" / "empty").mkdir()
    (example / "base" / "empty" / "main.tf").write_text("terraform {}\n", "utf-8")
    with opened_pull_request(example, tmp_path_factory.mktemp("host"), stack="iac-ci", log_level="INFO") as opened:
        yield opened


def seen(rows: RunRows) -> dict[str, tuple[OrderState, int | None, bool]]:
    return {order.order_name: (order.status, order.exit_code, order.changed) for order in rows.orders}


def comment(opened: OpenedPullRequest) -> str:
    """Return the engine's only comment."""
    (body,) = [comment.body for comment in opened.demo.project.comments(NUMBER) if comment.author == ENGINE]
    return body


def states(opened: OpenedPullRequest, sha: str) -> set[tuple[str, str]]:
    return {(status.context, status.state) for status in opened.demo.project.statuses(sha)}


def test_a_pull_request_goes_on_only_with_plans_that_have_changes(opened: OpenedPullRequest) -> None:
    rows = wait_for_end(opened.cloud, opened.first_run())
    assert rows.run is not None
    assert rows.run.status is RunState.SUCCEEDED
    assert seen(rows) == STATES
    (skipped,) = [order for order in rows.orders if order.status is OrderState.SKIPPED]
    assert (skipped.reason, skipped.not_needed) == (REASON, True)
    events = runs(opened.cloud).events(rows.run.trace_id)
    assert [event.order_name for event in events if event.changed] == ["plan-network"]
    project = opened.demo.project
    wait_until(
        lambda: "### plan: succeeded" in comment(opened), subject="the last comment", seen=lambda: comment(opened)
    )
    assert "| succeeded, changed |" in comment(opened)
    assert "| skipped, not needed |" in comment(opened)
    head = project.repository.head("change")
    wait_until(
        lambda: ("iac-ci/plan", "success") in states(opened, head),
        subject="the status",
        seen=lambda: states(opened, head),
    )


@pytest.mark.parametrize("target", ["lambda", "codebuild"])
def test_a_job_of_the_api_goes_on_only_with_plans_that_have_changes(opened: OpenedPullRequest, target: str) -> None:
    write = 'printf \'resource "terraform_data" "one" {}\' > main.tf'
    planned = {"run": "terraform plan -input=false -no-color -detailed-exitcode", "ok": [0, 2]}
    common = {"timeout": 120, "execution_target": target}
    orders = [
        {"order_name": "plan-network", "cmds": [write, "terraform init -no-color", planned], **common},
        {"order_name": "plan-empty", "cmds": ["echo 'terraform {}' > main.tf", "terraform init", planned], **common},
        *(
            {"order_name": f"after-{name}", "cmds": ["true"], "dependencies": [f"plan-{name}"],
             "when": {f"plan-{name}": "changed"}, **common}
            for name in ("network", "empty")
        ),
    ]  # fmt: skip
    run_id = submit(opened.cloud, {"username": "tests", "orders": orders})
    rows = wait_for_end(opened.cloud, run_id)
    assert seen(rows) == STATES
    marker = done_marker(opened.cloud, run_id)
    assert marker is not None
    assert [order.order_name for order in marker.orders if order.changed] == ["plan-network"]


def test_a_plan_that_fails_is_no_change(opened: OpenedPullRequest) -> None:
    planned = {"run": "terraform plan -input=false -no-color -detailed-exitcode", "ok": [0, 2]}
    write = "printf 'resource \"terraform_data\" {' > main.tf"
    orders = [
        {"order_name": "plan", "cmds": [write, planned], "timeout": 120},
        {"order_name": "apply", "cmds": ["true"], "timeout": 60, "dependencies": ["plan"], "when": {"plan": "changed"}},
    ]
    rows = wait_for_end(opened.cloud, submit(opened.cloud, {"username": "tests", "orders": orders}))
    plan, apply = rows.orders
    assert (plan.status, plan.exit_code, plan.changed) == (OrderState.FAILED, 1, False)
    assert (apply.status, apply.reason, apply.not_needed) == (OrderState.SKIPPED, "plan failed", False)


def test_an_order_is_repeated_until_an_attempt_succeeds(opened: OpenedPullRequest) -> None:
    order = {
        "order_name": "upload",
        "cmds": ['echo "this is attempt $IAC_CI_ATTEMPT"; [ "$IAC_CI_ATTEMPT" -ge 3 ] || exit 75'],
        "timeout": 60,
        "idempotent": True,
        "retry": {"attempts": 3, "on": [75]},
    }
    orders = [{**order, "execution_target": target, "order_name": target} for target in ("lambda", "codebuild")]
    run_id = submit(opened.cloud, {"username": "tests", "orders": orders})
    for row in wait_for_end(opened.cloud, run_id).orders:
        assert (row.status, row.attempt) == (OrderState.SUCCEEDED, 3)
    for num in ("0001", "0002"):
        for attempt in (1, 2, 3):
            log = log_of(opened.cloud, run_id, num, attempt)
            assert f"\nthis is attempt {attempt}\n[iac-ci] exit code {0 if attempt == 3 else 75} after " in log
