"""Orders run on both stand-ins, as root and as another user."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from selection import FULL

from iac_ci_common.states import OrderState, RunState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.functions import sandbox
from iac_ci_local.testing import log_of, submit, wait_for_end
from standins import as_user

pytestmark = pytest.mark.local_cloud

SAME_FOR_EVERY_USER = (
    "test_stopping.py",
    "test_stopping_on_request.py",
    # How functions wake, logs are sent and tools are chosen: the user changes what a sandbox separates.
    *(() if FULL else ("test_idle_functions.py", "test_live_logs.py", "test_tools.py")),
)


def run(cloud: LocalCloud, *orders: dict[str, Any]) -> dict[str, tuple[OrderState, str]]:
    """Run a job; return each order's state and log by its name."""
    job = {"username": "tests", "orders": [{"timeout": 60, **order} for order in orders]}
    ended = wait_for_end(cloud, submit(cloud, job))
    return {row.order_name: (row.status, log_of(cloud, row.run_id, row.order_num)) for row in ended.orders}


@pytest.mark.parametrize("target", ["lambda", "codebuild"])
def test_an_order_runs_with_nothing_of_the_machine_around_it(unkind: LocalCloud, target: str) -> None:
    show = "echo with ${AWS_CONTAINER_CREDENTIALS_FULL_URI-}${CODEBUILD_AUTH_TOKEN-}${IAC_CI_WORK-} nothing; env"
    ((status, log),) = run(unkind, {"order_name": "shows", "cmds": [show], "execution_target": target}).values()
    assert status is OrderState.SUCCEEDED
    assert "with nothing\n" in log
    assert not [line for line in log.splitlines() if line.startswith(("CODEBUILD_", "AWS_SE", "AWS_CONT", "AWS_ACC"))]


def test_more_orders_than_a_new_account_runs_at_once_all_succeed(unkind: LocalCloud) -> None:
    job = {
        "username": "tests",
        "job_timeout": 600,
        "orders": [{"order_name": f"o{number}", "cmds": ["true"], "timeout": 60} for number in range(14)],
    }
    ended = wait_for_end(unkind, submit(unkind, job))
    assert ended.run is not None
    assert ended.run.status is RunState.SUCCEEDED


@pytest.mark.skipif(bool(sandbox.missing()), reason="only root can become another user")
@pytest.mark.timeout(2400)
def test_all_this_holds_for_a_user_who_is_not_root() -> None:
    which = ("tests-e2e/standins", *(f"--ignore=tests-e2e/standins/{name}" for name in SAME_FOR_EVERY_USER))
    pytest_as_user = (sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *which)
    done = subprocess.run(as_user.command(*pytest_as_user), capture_output=True, text=True, timeout=2300)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert os.geteuid() == 0
    assert "Lambda's stand-in: without a user of their own" in done.stdout
