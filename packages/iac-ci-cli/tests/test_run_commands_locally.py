"""doctor, nudge and cancel against a whole stack, in another process than the cloud, as people use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

pytestmark = pytest.mark.local_cloud


def test_a_run_without_a_watchdog_is_seen_woken_and_cancelled(tmp_path, monkeypatch):
    from iac_ci_cli import jobs
    from iac_ci_cli.connection import connect
    from iac_ci_cli.main import app
    from iac_ci_local.cloud import LocalCloud
    from iac_ci_local.ministack import Speed
    from iac_ci_local.testing import wait_until

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    gate = tmp_path / "gate"
    orders = [
        {"order_name": "slow", "cmds": [f"until test -e {gate}; do sleep 0.05; done"], "timeout": 500},
        {"order_name": "after", "cmds": ["true"], "timeout": 60, "dependencies": ["slow"]},
    ]
    job = json.dumps({"username": "tests", "orders": orders}).encode()

    def iac_ci(*arguments):
        program = "from iac_ci_cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments, "--local", "--json"],
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, (json.loads(done.stdout) if done.stdout else done.stderr)

    def kinds():
        # In this process, because it is asked again and again.
        done = CliRunner().invoke(app, ["doctor", run, "--local", "--json"])
        return done.exit_code, {finding["kind"] for finding in json.loads(done.stdout)["findings"]}

    with LocalCloud(announced=True, speed=Speed(wait_scale=0.1, retry_seconds=0.1)):
        connection = connect("iac-ci", local=True)
        run = jobs.submit(connection, job).run_id
        wait_until(lambda: kinds() == (0, {"running", "waiting-for-dependencies"}), subject="the command to run")

        steps, machine = connection.client("stepfunctions"), connection.names.watchdog_arn
        steps.stop_execution(executionArn=f"{machine.replace(':stateMachine:', ':execution:')}:{run}-0000")
        code, found = kinds()
        assert code == 4
        assert "watchdog-gone" in found

        assert iac_ci("nudge", run)[1]["watchdog_started"]
        wait_until(
            lambda: kinds() == (0, {"running", "waiting-for-dependencies"}), subject="the orchestrator to be done"
        )

        code, said = iac_ci("cancel", run, "--reason", "no longer wanted")
        assert (code, said["cancelled"], said["left_running"]) == (0, ["after"], ["slow"])
        wait_until(lambda: "waiting-for-dependencies" not in kinds()[1], subject="the queued order to be cancelled")
        gate.touch()
        wait_until(lambda: connection.done.exists(f"{run}/done"), subject="the end of the run")
        marker = json.loads(connection.done.get(f"{run}/done"))
        assert {order["order_name"]: order["status"] for order in marker["orders"]} == {
            "slow": "succeeded",
            "after": "cancelled",
        }
        wait_until(lambda: kinds() == (0, {"run-failed"}), subject="the finish")
        assert iac_ci("doctor", run)[1]["waits_for"].startswith("nothing")
        code, said = iac_ci("nudge", run)
        assert code == 2
        assert "there is nothing to wake" in said["error"]
