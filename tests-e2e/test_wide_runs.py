"""Wide runs, one after the other on one local cloud: none hangs. ``IAC_CI_WIDE_RUNS`` is their number."""

from __future__ import annotations

import os

import pytest

from iac_ci_common.states import OrderState, RunState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.testing import submit, wait_for_end

RUNS = int(os.environ.get("IAC_CI_WIDE_RUNS", "4"))
ORDERS = 20


@pytest.fixture(scope="module")
def cloud():
    with LocalCloud() as running:
        yield running


@pytest.mark.local_cloud
@pytest.mark.parametrize("number", range(RUNS))
def test_no_wide_run_hangs(cloud, number):
    orders = [{"cmds": [f"echo {number}"], "timeout": 300} for _ in range(ORDERS)]
    rows = wait_for_end(cloud, submit(cloud, {"username": "tests", "job_timeout": 900, "orders": orders}))
    assert rows.run is not None
    assert rows.run.status is RunState.SUCCEEDED, f"run {number}: {rows}"
    assert {order.status for order in rows.orders} == {OrderState.SUCCEEDED}
