"""A running order's output is followed on both stand-ins, as `iac-ci logs RUN --follow` does."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from iac_ci_cli.connection import local_connection
from iac_ci_cli.run_logs import Follower
from iac_ci_common import keys, limits
from iac_ci_common.states import OrderState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.ministack import Speed
from iac_ci_local.testing import HANGS_SECONDS, submit, wait_for_end

pytestmark = pytest.mark.local_cloud

LINE = re.compile(r"^at ([0-9]+)\.", re.MULTILINE)


def follow(cloud: LocalCloud, target: str, seconds: int, *, from_second: int = 0) -> list[tuple[float, float]]:
    """Run an order that prints the time every second; return when each line was printed and seen, while it ran."""
    command = f"for i in $(seq {seconds}); do echo at $EPOCHREALTIME; sleep 1; done"
    order = {"order_name": "talks", "cmds": [command], "timeout": 400, "execution_target": target}
    run = submit(cloud, {"username": "tests", "orders": [order]})
    client = local_connection(cloud.state())
    seen: list[tuple[float, float]] = []
    follower = Follower(
        client,
        run,
        lambda row, text: seen.extend(
            (float(printed), time.time()) for printed in LINE.findall(text) if row.status is OrderState.RUNNING
        ),
    )
    begun, until = None, time.monotonic() + HANGS_SECONDS
    while time.monotonic() < until:
        rows = client.runs.read(run)
        if begun is None and rows.orders and client.internal.exists(keys.claim(run, "0001")):
            begun = time.time()
        if begun is not None and time.time() - begun >= from_second and follower.step():
            break
        time.sleep(0.5)
    (row,) = wait_for_end(cloud, run).orders
    assert row.status is OrderState.SUCCEEDED
    assert client.internal.list(keys.live_parts(run, "0001")) == [], "parts go when the whole log is stored"
    whole = client.internal.get(keys.log(run, "0001")).decode()
    assert len(LINE.findall(whole)) == seconds
    return seen


@pytest.mark.parametrize("target", ["lambda", "codebuild"])
def test_output_is_seen_while_the_commands_run(unkind: LocalCloud, target: str) -> None:
    seen = follow(unkind, target, 15)
    assert seen, "nothing was seen before the order ended"
    delays = sorted(after - printed for printed, after in seen)
    print(f"{target}: {len(seen)} lines seen, {delays[-1]:.1f} s after they were printed at most")


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    """A cloud whose Lambda workers can trade under pytest: its record of AWS requests is not in the sandbox."""
    with LocalCloud(speed=Speed(wait_scale=0.02, retry_seconds=0.1)) as running:
        yield running


@pytest.mark.full
@pytest.mark.parametrize("target", ["lambda", "codebuild"])
def test_a_follower_sees_a_line_within_six_seconds_once_the_wish_has_arrived(cloud: LocalCloud, target: str) -> None:
    """The follower comes after the first minute, in which everything is sent fast; the wish takes a heartbeat."""
    seen = follow(cloud, target, 200, from_second=65)
    wished = min(after for _, after in seen)
    arrived = wished + limits.HEARTBEAT_SECONDS + 1
    delays = [after - printed for printed, after in seen if printed > arrived]
    print(f"{target}: {len(delays)} lines after the wish had arrived, seen after {max(delays):.1f} s at most")
    assert len(delays) > 20
    assert max(delays) <= 6, datetime.now(UTC)
