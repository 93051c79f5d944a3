"""What only a real worker shows: a build that reads a secret, and an order that outlives its first URLs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import time

import pytest

from iac_ci_cli import jobs
from iac_ci_common import keys
from iac_ci_common.limits import MIN_PRESIGN_SECONDS
from iac_ci_common.models.done import DoneMarker
from iac_ci_common.order_logs import read_log
from iac_ci_common.states import OrderState, RunState

pytestmark = [pytest.mark.local_cloud, pytest.mark.slow]

DEADLINE_SECONDS = 1200
"""A build waits in CodeBuild's queue, and then for its machine and the image: four minutes were seen."""

OUTLIVES_SECONDS = MIN_PRESIGN_SECONDS + 10


@pytest.fixture
def secret(stack):
    """Return the location and the value of a secret that signed jobs may read; it is removed afterwards."""
    ssm, function = stack.client("ssm"), stack.function("init-job")
    found = stack.client("lambda").get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    name = f"{found['IAC_CI_SECRETS_PREFIX']}sources/api/smoke-{secrets.token_hex(6)}"
    value = secrets.token_urlsafe(24)
    ssm.put_parameter(Name=name, Value=value, Type="SecureString")
    yield f"ssm:{name}", value
    with contextlib.suppress(ssm.exceptions.ParameterNotFound):
        ssm.delete_parameter(Name=name)


def job(location, value):
    digest = hashlib.sha256(value.encode()).hexdigest()
    return {
        "username": "smoke",
        "flow_label": "smoke-rights",
        "job_timeout": DEADLINE_SECONDS,
        "presign_expiry": MIN_PRESIGN_SECONDS,
        "orders": [
            {
                "order_name": "build",
                "cmds": [
                    'echo "the secret is $TOKEN"',
                    f'test "$(printf %s "$TOKEN" | sha256sum)" = "{digest}  -"',
                ],
                "timeout": 120,
                "execution_target": "codebuild",
                "secrets": {"TOKEN": location},
            },
            {
                "order_name": "outlives",
                "cmds": [f"sleep {OUTLIVES_SECONDS}", "echo after the first URLs"],
                "timeout": 2 * OUTLIVES_SECONDS,
                "execution_target": "lambda",
            },
        ],
    }


def why(stack, run_id):
    """Return what the orders of a run wait for."""
    rows = stack.connection.runs.read(run_id)
    return {order.order_name: (order.status.value, order.reason) for order in rows.orders}


@pytest.mark.timeout(DEADLINE_SECONDS + 120)
def test_a_build_reads_a_secret_and_an_order_outlives_its_first_urls(stack, secret):
    location, value = secret
    run_id = jobs.submit(stack.connection, json.dumps(job(location, value)).encode()).run_id
    done, internal = stack.connection.done, stack.connection.internal
    until = time.monotonic() + DEADLINE_SECONDS
    while not done.exists(keys.done(run_id)):
        assert time.monotonic() < until, f"run {run_id} has not ended: {why(stack, run_id)}"
        time.sleep(1)
    marker = DoneMarker.model_validate_json(done.get(keys.done(run_id)))
    logs = {}
    try:
        assert marker.status is RunState.SUCCEEDED, why(stack, run_id)
        assert marker.summary == {OrderState.SUCCEEDED: 2}
        found = {number: read_log(internal, run_id, number) for number in ("0001", "0002")}
        logs = {number: log.text for number, log in found.items() if log is not None}
        assert "the secret is ***" in logs["0001"]
        assert value not in logs["0001"]
        assert "after the first URLs" in logs["0002"]
        outlived = next(row for row in stack.connection.runs.read(run_id).orders if row.order_num == "0002")
        assert (outlived.ended_at - outlived.dispatched_at).total_seconds() > MIN_PRESIGN_SECONDS
    finally:
        left = [keys.job(run_id), *internal.list(keys.callbacks(run_id))]
        internal.delete([*left, *(keys.log(run_id, order.order_num) for order in marker.orders)])
        done.delete([keys.done(run_id)])
