"""A running order's output is followed on both stand-ins, as `iac-ci logs RUN --follow` does."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from iac_ci_cli.connection import local_connection
from iac_ci_cli.run_logs import Follower
from iac_ci_common import keys, limits
from iac_ci_common.order_logs import read_log
from iac_ci_common.states import OPEN, OrderState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.ministack import Speed
from iac_ci_local.testing import HANGS_SECONDS, submit, wait_for_end

pytestmark = pytest.mark.local_cloud

LINE = re.compile(r"^at ([0-9]+)\.", re.MULTILINE)


def follow(
    cloud: LocalCloud, target: str, command: str, *, from_second: int = 0, at_first: Callable[[], object] = lambda: None
) -> tuple[list[tuple[float, float]], int]:
    """Run an order that prints times; return when each line was printed and seen while it ran, and how many there are.

    ``at_first`` is called when a line is seen.
    """
    order = {"order_name": "talks", "cmds": [command], "timeout": 500, "execution_target": target}
    run = submit(cloud, {"username": "tests", "orders": [order]})
    client = local_connection(cloud.state())
    seen: list[tuple[float, float]] = []
    follower = Follower(
        client,
        run,
        lambda row, text: seen.extend(
            (float(printed), time.time()) for printed in LINE.findall(text) if row.status in OPEN
        ),
    )
    begun, until = None, time.monotonic() + HANGS_SECONDS
    while time.monotonic() < until:
        rows = client.runs.read(run)
        if begun is None and rows.orders and client.internal.exists(keys.claim(run, "0001")):
            begun = time.time()
        if begun is not None and time.time() - begun >= from_second and follower.step():
            break
        if seen:
            at_first()
        time.sleep(0.5)
    (row,) = wait_for_end(cloud, run).orders
    assert row.status is OrderState.SUCCEEDED
    assert client.internal.list(keys.live_parts(run, "0001")) == [], "parts go when the whole log is stored"
    whole = read_log(client.internal, run, "0001")
    assert whole is not None
    assert whole.is_whole
    return seen, len(LINE.findall(whole.text))


@pytest.mark.parametrize("target", ["lambda", "codebuild"])
def test_output_is_seen_while_the_commands_run(unkind: LocalCloud, target: str) -> None:
    """The order prints until a line of it was seen."""
    s3 = unkind.aws.client("s3")
    was_seen = {"Bucket": unkind.stack.names.bucket("internal"), "Key": f"was-seen-{target}"}
    url = s3.generate_presigned_url("get_object", Params=was_seen)
    command = f"until curl -sf -o /dev/null '{url}'; do echo at $EPOCHREALTIME; sleep 1; done"
    seen, lines = follow(unkind, target, command, at_first=lambda: s3.put_object(**was_seen, Body=b""))
    assert 0 < len(seen) <= lines, "nothing was seen before the order ended"
    delays = sorted(after - printed for printed, after in seen)
    print(f"{target}: {len(seen)} lines seen, {delays[-1]:.1f} s after they were printed at most")


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    """A cloud whose Lambda workers can trade under pytest: its record of AWS requests is not in the sandbox."""
    with LocalCloud(speed=Speed(wait_scale=0.1, retry_seconds=0.1)) as running:
        yield running


@pytest.mark.full
@pytest.mark.parametrize("target", ["lambda", "codebuild"])
def test_a_follower_sees_a_line_within_six_seconds_once_the_wish_has_arrived(cloud: LocalCloud, target: str) -> None:
    """The follower comes after the first minute, in which everything is sent fast; the wish takes a heartbeat."""
    command = "for i in $(seq 200); do echo at $EPOCHREALTIME; sleep 1; done"
    seen, lines = follow(cloud, target, command, from_second=65)
    assert lines == 200
    wished = min(after for _, after in seen)
    arrived = wished + limits.HEARTBEAT_SECONDS + 1
    delays = [after - printed for printed, after in seen if printed > arrived]
    print(f"{target}: {len(delays)} lines after the wish had arrived, seen after {max(delays):.1f} s at most")
    assert len(delays) > 20
    assert max(delays) <= 6, datetime.now(UTC)
