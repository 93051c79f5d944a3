"""Calls go wrong on the local cloud: real processes, real HTTP, IAM enforced, every SDK's own retries."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest
from selection import FULL

from faults.breaking_cloud import BreakingCloud
from iac_ci_common import keys
from iac_ci_common.aws.locks import DynamoLocks
from iac_ci_common.states import TERMINAL, OrderState, RunState
from iac_ci_local.ministack import Speed
from iac_ci_local.testing import done_marker, post, runs, wait_for_end, wait_until

pytestmark = pytest.mark.local_cloud

PARTS = 12 if FULL else 1
"""So many tests share the calls, so that each takes seconds, not minutes."""

CALLERS = ("init-job", "orchestrator", "worker", "watchdog-check")


@pytest.fixture(scope="module")
def cloud():
    with BreakingCloud(speed=Speed(wait_scale=0.05, retry_seconds=0.2)) as running:
        yield running


def send(cloud: BreakingCloud, starts: Path) -> str:
    """Send a job of three orders as a careful caller does, and give its run's id."""
    note = f'echo "$IAC_CI_ORDER_NUM" >> {starts}'
    orders = [{"order_name": f"order-{number}", "cmds": [note], "timeout": 60} for number in (1, 2, 3)]
    orders[1]["dependencies"] = ["order-1"]
    body = json.dumps({"username": "tests", "flow_label": uuid.uuid4().hex, "job_timeout": 300, "orders": orders})
    key = uuid.uuid4().hex
    for _ in range(5):
        answer = post(cloud, body.encode(), headers={**signed(cloud, body.encode()), "Idempotency-Key": key})
        if answer.status == 202:
            return answer.body["run_id"]
        # A signature is taken once: another try needs another second.
        sent = int(time.time())
        wait_until(lambda sent=sent: int(time.time()) > sent, subject="the next second")
    raise AssertionError(f"a caller who is patient is accepted: {answer}")


def signed(cloud: BreakingCloud, body: bytes) -> dict[str, str]:
    from datetime import UTC, datetime

    from iac_ci_common.signature import HEADER, sign

    return {HEADER: sign(cloud.stack.webhook_secret, body, datetime.now(UTC))}


def play(cloud: BreakingCloud, folder: Path) -> None:
    """Run a job to its end and hold every promise to what is there then."""
    starts = folder / f"{uuid.uuid4().hex}.starts"
    run_id = send(cloud, starts)
    # A function that fails leaves its lease on the run to run out, half a minute.
    wait_until(lambda: done_marker(cloud, run_id) is not None, subject="the done marker")
    rows = wait_for_end(cloud, run_id)
    states = {order.order_num: order.status for order in rows.orders}
    assert set(states.values()) <= TERMINAL
    counts = Counter(starts.read_text().split()) if starts.exists() else Counter()
    assert set(counts.values()) <= {1}, f"commands start at most once: {counts}"
    assert {num for num, state in states.items() if state is OrderState.SUCCEEDED} <= set(counts)
    assert rows.run is not None
    assert (rows.run.status is RunState.SUCCEEDED) == all(state is OrderState.SUCCEEDED for state in states.values())
    marker = done_marker(cloud, run_id)
    assert marker is not None
    assert {order.order_num: order.status for order in marker.orders} == states
    lock = DynamoLocks(cloud.aws.client("dynamodb"), cloud.stack.names.resource("locks")).read(run_id)
    assert lock is not None
    assert lock.owner is None
    told = {event.order_name: event.kind for event in runs(cloud).events(rows.run.trace_id)}
    assert told == {f"order-{int(num)}": state.value for num, state in states.items()} | {"_job": rows.run.status.value}
    bucket = cloud.stack.names.bucket("internal")
    left = cloud.aws.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"tmp/exec/{run_id}/")
    assert not left.get("Contents"), "no sealed package is left"
    assert keys.done(run_id)


@pytest.fixture(scope="module")
def calls(cloud, tmp_path_factory) -> list[tuple[str, str, int]]:
    """Let all go well once; return each call as its caller, what it was, and its number among these."""
    folder = tmp_path_factory.mktemp("calls")
    play(cloud, folder)  # warm functions ask for less
    cloud.arm()
    play(cloud, folder)
    counts: Counter[tuple[str, str]] = Counter()
    found = []
    for call in cloud.seen()["calls"]:
        caller, what = call["caller"], call["what"]
        if caller in CALLERS and (caller, what) != ("init-job", "lambda.Invoke"):
            found.append((caller, what, counts[caller, what]))
            counts[caller, what] += 1
    return found


@pytest.mark.parametrize("part", range(PARTS))
def test_the_promises_hold_whatever_goes_wrong(cloud, calls, part, tmp_path):
    """A few of a run's calls, all of them in `.ci/full`.

    All but one: a preparation that never starts is made up for after five minutes, which are virtual elsewhere.
    """
    assert len(calls) > 40
    # The last of an operation: the first ones are often those of a burst, and more alike.
    last = list({(caller, what): (caller, what, number) for caller, what, number in calls}.values())
    kinds = ("lost", "throttled")
    if FULL:
        faults = [(call, kinds[index % 2]) for index, call in enumerate(calls)]
    else:
        faults = [(call, kinds[index % 2]) for index, call in enumerate(last[::6])]
    hits = 0
    for call, kind in faults[part::PARTS]:
        cloud.arm(*call, kind)
        try:
            play(cloud, tmp_path)
        except AssertionError as error:
            raise AssertionError(f"{kind}: {call}: {error}") from error
        hits += cloud.seen()["hit"] is not None
    # What a watchdog asks depends on when it wakes; nearly everything else happens in every run.
    assert hits > 0
