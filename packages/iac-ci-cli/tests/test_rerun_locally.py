"""`iac-ci rerun`, `iac-ci runs` and `iac-ci watch` on a whole stack, as people use them."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

pytestmark = pytest.mark.local_cloud


def test_what_failed_runs_again_with_its_code_and_is_found_in_the_list(tmp_path, monkeypatch):
    from iac_ci_cli.main import app
    from iac_ci_local.cloud import LocalCloud

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = tmp_path / "job"
    gate = tmp_path / "gate"
    orders = [
        {"order_name": "fine", "cmds": ["cat hello.txt"], "timeout": 60},
        {"order_name": "gated", "cmds": [f"cat hello.txt; test -e {gate}"], "timeout": 60, "dependencies": ["fine"]},
    ]
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "hello.txt").write_text("from the code\n")
    (folder / "job.json").write_text(json.dumps({"username": "tests", "flow_label": "demo", "orders": orders}))

    def iac_ci(*arguments):
        done = CliRunner().invoke(app, [*arguments, "--local"])
        return done.exit_code, done.stdout, done.exception

    with LocalCloud(announced=True):
        code, printed, _ = iac_ci("submit", str(folder), "--wait", "--json")
        assert code == 1
        first = json.loads(printed)["run"]["run_id"]
        gate.touch()
        code, printed, failure = iac_ci("rerun", first[:-2], "--failed", "--wait", "--json")
        assert code == 0, failure
        again = json.loads(printed)
        assert [order["order_name"] for order in again["orders"]] == ["gated"]
        second = again["run"]["run_id"]
        assert "from the code" in iac_ci("logs", second, "1")[1]

        assert iac_ci("watch", second)[0] == 0
        assert iac_ci("watch", first)[0] == 1
        listed = json.loads(iac_ci("runs", "--json")[1])["runs"]
        assert [(run["run_id"], run["state"], run["job"]) for run in listed] == [
            (second, "succeeded", "demo"),
            (first, "failed", "demo"),
        ]
        assert [run["run_id"] for run in json.loads(iac_ci("runs", "--state", "failed", "--json")[1])["runs"]] == [
            first
        ]
        assert f"runs orders of {first} again" in iac_ci("events", second)[1]

        code, _, failure = iac_ci("rerun", second, "--failed")
        assert code != 0
        assert "every order of run" in str(failure)
        _, _, failure = iac_ci("rerun", second, "nope")
        assert "the run has no order 'nope'" in str(failure.problems[0])
