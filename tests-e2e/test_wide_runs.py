"""Wide runs, one after the other on one local cloud: none hangs."""

from __future__ import annotations

import os

import pytest

from iac_ci_common.states import OrderState, RunState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.testing import submit, wait_for_end

RUNS = int(os.environ.get("IAC_CI_WIDE_RUNS", "10"))
ORDERS = 20


@pytest.mark.local_cloud
@pytest.mark.timeout(60 * RUNS)
def test_no_wide_run_hangs():
    with LocalCloud() as cloud:
        for number in range(RUNS):
            orders = [{"cmds": [f"echo {number}"], "timeout": 60} for _ in range(ORDERS)]
            run_id = submit(cloud, {"username": "tests", "job_timeout": 600, "orders": orders})
            rows = wait_for_end(cloud, run_id, seconds=60)
            assert rows.run is not None
            assert rows.run.status is RunState.SUCCEEDED, f"run {number}: {rows}"
            assert {order.status for order in rows.orders} == {OrderState.SUCCEEDED}
