"""One small real job, from the API to its done marker."""

from __future__ import annotations

import json
import time

import pytest

from iac_ci_cli import jobs
from iac_ci_common import keys
from iac_ci_common.models.done import DoneMarker
from iac_ci_common.order_logs import read_log
from iac_ci_common.states import OrderState, RunState

pytestmark = pytest.mark.local_cloud

DEADLINE_SECONDS = 180
JOB = {
    "username": "smoke",
    "flow_label": "smoke",
    "job_timeout": DEADLINE_SECONDS,
    "orders": [
        {"order_name": "first", "cmds": ["echo one"], "timeout": 30},
        {"order_name": "second", "cmds": ["echo two"], "timeout": 30, "dependencies": ["first"]},
    ],
}


@pytest.mark.timeout(DEADLINE_SECONDS + 60)
def test_a_job_of_two_orders_ends_succeeded_and_leaves_nothing_behind(stack):
    run_id = jobs.submit(stack.connection, json.dumps(JOB).encode()).run_id
    done, internal = stack.connection.done, stack.connection.internal
    until = time.monotonic() + DEADLINE_SECONDS
    while not done.exists(keys.done(run_id)):
        assert time.monotonic() < until, f"run {run_id} has not ended: {stack.connection.runs.read(run_id)}"
        time.sleep(0.5)
    marker = DoneMarker.model_validate_json(done.get(keys.done(run_id)))
    try:
        assert marker.status is RunState.SUCCEEDED
        assert marker.summary == {OrderState.SUCCEEDED: 2}
        log = read_log(internal, run_id, "0002")
        assert log is not None
        assert "two" in log.text
    finally:
        # The rest goes by itself within a day; what a person would look at is not kept waiting for that.
        left = [keys.job(run_id), *internal.list(keys.callbacks(run_id))]
        internal.delete([*left, *(keys.log(run_id, order.order_num) for order in marker.orders)])
        done.delete([keys.done(run_id)])
    assert not internal.list(keys.callbacks(run_id))
    assert not done.exists(keys.done(run_id))
