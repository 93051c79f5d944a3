"""The whole engine, both targets, on two emulators: the same rows, events and marker."""

from __future__ import annotations

import re
from typing import Any

import pytest

from aws import emulators
from iac_ci_common.models.rows import OrderRow
from iac_ci_local import testing
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.ministack import Speed

pytestmark = [
    pytest.mark.local_cloud,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.full,
]

SECRET = "ssm:/iac-ci/jobs/sources/api/token"
JOB: dict[str, Any] = {
    "username": "tests",
    "orders": [
        {"order_name": "lambda", "cmds": ["echo the token is $TOKEN"], "timeout": 600, "secrets": {"TOKEN": SECRET}},
        {
            "order_name": "build", "cmds": ["echo built", "test -n \"$TOKEN\""], "timeout": 600, "use_lambda": False,
            "secrets": {"TOKEN": SECRET}, "dependencies": ["lambda"],
        },
        {"order_name": "allowed", "cmds": ["exit 3"], "timeout": 600, "must_succeed": False},
        {"order_name": "after", "cmds": ["true"], "timeout": 600, "dependencies": ["allowed", "build"]},
        {"order_name": "broken", "cmds": ["exit 4"], "timeout": 600, "use_lambda": False, "dependencies": ["lambda"]},
        {"order_name": "skipped", "cmds": ["true"], "timeout": 600, "dependencies": ["broken"]},
    ],
}  # fmt: skip
SAME = ("order_num", "order_name", "status", "target", "timeout", "dependencies", "must_succeed", "exit_code", "reason")
"""Fields of an order's row that are the same in every run of the job."""


def seen(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the job on an emulator; return its rows, events and marker, without times and random parts."""
    monkeypatch.setattr(LocalCloud, "make_aws", emulators.makes(name))
    with LocalCloud(speed=Speed(wait_scale=0.1, retry_seconds=0.1)) as cloud:
        cloud.aws.client("ssm").put_parameter(
            Name=SECRET.removeprefix("ssm:"), Value="a-token-of-some-length", Type="SecureString"
        )
        run_id = testing.submit(cloud, JOB)
        rows = testing.wait_for_end(cloud, run_id)
        assert rows.run is not None
        events = testing.runs(cloud).events(rows.run.trace_id)
        marker = testing.done_marker(cloud, run_id)
        assert marker is not None
        return {
            "run": (rows.run.status, rows.run.reason, rows.run.order_count),
            "orders": [order_fields(order) for order in rows.orders],
            # Orders that run side by side have their events in any sequence. Nudges depend on the machine, and so does
            # `running`, which is left out where a result overtakes it.
            "events": sorted(
                (event.order_name, event.kind, event.reason or "")
                for event in events
                if event.kind not in {"nudged", "running"}
            ),
            "marker": (marker.status, marker.reason, dict(marker.summary)),
            "log": re.sub(r"after [\d.]+ s", "after a while", testing.log_of(cloud, run_id)),
        }


def order_fields(order: OrderRow) -> dict[str, Any]:
    return {name: getattr(order, name) for name in SAME}


def test_both_emulators_show_the_same_run(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {name: seen(name, monkeypatch) for name in emulators.EMULATORS}
    assert found["moto"] == found["ministack"]
    states = {order["order_name"]: order["status"].value for order in found["moto"]["orders"]}
    assert states == {
        "lambda": "succeeded", "build": "succeeded", "allowed": "failed", "after": "succeeded", "broken": "failed",
        "skipped": "skipped",
    }  # fmt: skip
    assert "the token is ***" in found["moto"]["log"]
    assert "a-token-of-some-length" not in found["moto"]["log"]
