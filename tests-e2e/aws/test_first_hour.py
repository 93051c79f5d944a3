"""The first hour, played against the emulators, and its page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aws import emulators
from aws.first_hour.command import ALL, main
from aws.first_hour.steps import BUDGET_DOLLARS
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.ministack import Speed

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "tests-e2e/aws/first-hour.md").read_text("utf-8")


def test_the_page_lists_every_step_with_its_question():
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \|", PAGE, re.MULTILINE))
    assert rows == {step.name: step.question for step in ALL}


def test_the_whole_hour_stays_below_its_budget():
    assert sum(step.dollars for step in ALL) < BUDGET_DOLLARS == 5


def test_nothing_is_done_without_consent(capsys, tmp_path):
    assert main(["--region", "eu-central-1", "--report", str(tmp_path / "report.md")]) == 0
    printed = capsys.readouterr().out
    assert "Nothing was done: use --yes." in printed
    assert all(f"  {step.name}: " in printed for step in ALL)
    assert not (tmp_path / "report.md").exists()


@pytest.mark.parametrize("arguments", [["--only", "nothing"], []])
def test_what_cannot_be_played_is_refused(arguments, capsys, monkeypatch):
    monkeypatch.delenv("AWS_REGION", raising=False)
    with pytest.raises(SystemExit) as ended:
        main([*arguments, *(["--region", "eu-central-1"] if arguments else [])])
    assert ended.value.code == 2
    assert "unknown step nothing" in capsys.readouterr().err or not arguments


def test_a_stack_that_could_not_be_created_is_removed_all_the_same(monkeypatch, tmp_path, capsys):
    from aws.first_hour import pipelines

    calls = []

    def pipeline(account, script, *arguments, **environment):
        calls.append(script)
        return (0 if script == "deploy" else 1), "it failed"

    monkeypatch.setattr(pipelines, "_pipeline", pipeline)
    report = tmp_path / "report.md"
    assert main(["--region", "eu-central-1", "--yes", "--report", str(report)]) == 1
    assert calls == ["deploy", "all", "archive", "teardown"]
    assert "| teardown |" in report.read_text("utf-8")
    assert "3 steps, 2 different or failed" in capsys.readouterr().out


@pytest.mark.local_cloud
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.full
@pytest.mark.parametrize("name", ["ministack", "moto"])
def test_the_steps_run_against_an_emulator(name, monkeypatch, tmp_path):
    monkeypatch.setattr(LocalCloud, "make_aws", emulators.makes(name))
    report = tmp_path / "report.md"
    with LocalCloud("acme", speed=Speed(wait_scale=0.1, retry_seconds=0.1)) as cloud:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")} | {
            "AWS_ENDPOINT_URL": cloud.aws.endpoint,
            "AWS_ACCESS_KEY_ID": cloud.aws.access_key,
            "AWS_SECRET_ACCESS_KEY": cloud.aws.secret_key,
            "AWS_ENDPOINT_URL_CODEBUILD": cloud.aws.builds_endpoint,
        }
        command = [sys.executable, "tests-e2e/first_hour.py", "--deployed", "--yes", "--stack", "acme"]
        done = subprocess.run(
            [*command, "--region", cloud.aws.session["region_name"], "--report", report],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        (secret_names,) = [cloud.aws.client("ssm").describe_parameters()["Parameters"]]
        concurrency = cloud.aws.client("lambda").get_function_concurrency(FunctionName="acme-worker")
    text = report.read_text("utf-8")
    assert "Traceback" not in done.stderr, done.stderr
    assert all(f"| {step.name} |" in text for step in ALL if step.name not in {"deploy-check", "teardown"})
    # What the emulator does not answer is said; what it answers is as the engine assumes.
    assert (done.returncode, "| failed |" in text, "| different |" in text) == (0, False, False), text
    assert text.count("| as expected |") >= 8
    # Commands have no other user here where this process may not give them one, or root's closed home keeps it out.
    (shell,) = (line for line in text.splitlines() if line.startswith("| build-shell |"))
    assert "| as expected |" in shell or "uid 0," in shell or os.geteuid() != 0, shell
    assert not [one["Name"] for one in secret_names if "first-hour" in one["Name"]]
    assert "ReservedConcurrentExecutions" not in concurrency
