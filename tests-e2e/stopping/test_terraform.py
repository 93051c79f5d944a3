"""Real Terraform with its state and its lock in S3 is stopped, in the forms in which people run it."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest
from aws import real_provider

from iac_ci_common.redaction import Redactor
from iac_ci_worker.decide import Allowance, Ending, Outcome
from iac_ci_worker.open_operations import open_operations
from iac_ci_worker.processes import adopt_orphans, descendants
from iac_ci_worker.runner import BashRunner, Commands
from iac_ci_worker.stop_request import StopRequest
from stopping.slow_aws import BUCKET, STATE, SlowAws

APPLY = "terraform apply -auto-approve -input=false"

TERRAGRUNT = f"""#!{sys.executable}
import signal, subprocess, sys, threading
mode, *command = sys.argv[1:]
child = subprocess.Popen(command)
def ask(number, frame):
    # As versions 0.86.0 to 0.97.1 do; others pass the signal on after 15 seconds.
    child.kill() if mode == "kills" else threading.Timer(15, child.send_signal, [number]).start()
signal.signal(signal.SIGINT, ask)
signal.signal(signal.SIGTERM, ask)
sys.exit(child.wait())
"""
"""Stands for the versions of Terragrunt, which cannot be had here, by what their source does."""

FORMS = {
    "alone": APPLY,
    "into tee": f"{APPLY} | tee out.log",
    "before another command": f"{APPLY}; echo done",
    "in a script": f"printf '#!/bin/sh\\n{APPLY}\\necho goes on\\n' > run.sh; chmod +x run.sh; ./run.sh",
    "in the background": f"{APPLY} & wait",
    "under timeout": f"timeout 900 {APPLY}",
    "under Python": f"{sys.executable} -c 'import subprocess; subprocess.run(\"{APPLY}\".split(), check=True)'",
    "answered for ever": "yes yes | terraform apply -input=true",
    "in a session of its own": f"setsid --wait {APPLY}",
    "with a handler that passes the signal on": f"trap 'kill $tf; wait $tf' TERM INT; {APPLY} & tf=$!; wait $tf",
    "under a Terragrunt that kills": f"./terragrunt kills {APPLY}",
    "under a Terragrunt that is late": f"./terragrunt late {APPLY}",
}
IN_EACH_RUN = {"into tee", "under a Terragrunt that kills"}
CASES = [pytest.param(form, marks=() if form in IN_EACH_RUN else pytest.mark.full) for form in FORMS]

pytestmark = pytest.mark.timeout(1800)  # Terraform unpacks and checks 700 MB of the real provider

BACKEND = """\
terraform {{
  backend "s3" {{
    bucket = "{bucket}"
    key    = "{key}"
    region = "us-east-1"
    endpoints = {{ s3 = "{url}" }}
    use_lockfile = true
    use_path_style = true
    skip_credentials_validation = true
    skip_metadata_api_check = true
    skip_requesting_account_id = true
  }}
}}
"""
BUILT_IN = """\
resource "terraform_data" "first" {}
resource "terraform_data" "slow" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" {
    command = "touch slow; sleep 900"
  }
}
"""
REAL = """\
provider "aws" {{
  region = "us-east-1"
  endpoints {{
    ssm = "{url}"
    sts = "{url}"
  }}
  skip_credentials_validation = true
  skip_metadata_api_check = true
  skip_requesting_account_id = true
}}
resource "aws_ssm_parameter" "first" {{
  name  = "/first"
  type  = "String"
  value = "one"
}}
resource "aws_ssm_parameter" "slow" {{
  depends_on = [aws_ssm_parameter.first]
  name  = "/slow"
  type  = "String"
  value = "two"
}}
"""
FAST = 'resource "terraform_data" "first" {}\n'


@pytest.fixture(autouse=True, scope="module")
def orphans() -> None:
    adopt_orphans()


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of the commands."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TF_IN_AUTOMATION": "1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        **{name: value for name, value in os.environ.items() if name.startswith("TF_CLI_CONFIG")},
    }


def ask_once_it_provisions(stop: StopRequest, slow: Path, over: threading.Event) -> None:
    """Ask for the stop when the slow provisioner has begun."""
    while not slow.exists():
        if over.wait(0.02):
            return
    stop.ask("a person asked")


def apply(
    cloud: SlowAws, folder: Path, form: str, main: str, *, seconds: float | None = None, config: str = ""
) -> Outcome:
    """Apply a configuration in a form.

    The cloud's slow request or a slow provisioner begins the stop, or with ``seconds`` the time-out alone.
    """
    (folder / "backend.tf").write_text(BACKEND.format(bucket=BUCKET, key=STATE, url=cloud.url))
    (folder / "main.tf").write_text(main)
    program = folder / "terragrunt"
    program.write_text(TERRAGRUNT)
    program.chmod(0o755)
    stop = StopRequest()
    over = threading.Event()
    if seconds is None:
        cloud.on_slow = lambda: stop.ask("a person asked")
        threading.Thread(target=ask_once_it_provisions, args=(stop, folder / "slow", over), daemon=True).start()
    more = {"TF_CLI_CONFIG_FILE": config} if config else {}
    commands = Commands(
        ["terraform init -input=false", FORMS[form]],
        folder,
        environment(folder) | more,
        Allowance(seconds or 900, "its timeout", 300),
        stop,
    )
    outcome = BashRunner().run(commands, folder / "log", Redactor([]))
    over.set()
    assert descendants() == []
    return outcome


def log_of(folder: Path) -> str:
    return (folder / "log").read_text("utf-8", "replace")


@pytest.mark.parametrize("form", CASES)
def test_a_slow_state_write_is_waited_for(form: str, tmp_path: Path) -> None:
    with SlowAws(slow_state=8).running() as cloud:
        outcome = apply(cloud, tmp_path, form, FAST)
        assert outcome.ending is Ending.STOPPED, log_of(tmp_path)
        assert not outcome.killed
        assert cloud.keys() == {STATE}, "no lock is left"
        assert cloud.resources() == {"terraform_data.first"}, log_of(tmp_path)
        assert "Two interrupts received" not in log_of(tmp_path)


@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=() if form == "into tee" else pytest.mark.full) for form in FORMS]
)
def test_a_call_under_way_leaves_state_and_lock_in_order(form: str, tmp_path: Path) -> None:
    provider = real_provider.find()
    config = provider.write_configuration(tmp_path / "terraform.rc") if provider is not None else ""
    with SlowAws(slow_call=600).running() as cloud:
        if provider is not None:
            outcome = apply(cloud, tmp_path, form, REAL.format(url=cloud.url), config=config)
            assert outcome.ending is Ending.STOPPED, log_of(tmp_path)
            assert "aws_ssm_parameter.first" in cloud.resources(), log_of(tmp_path)
            assert open_operations(log_of(tmp_path)) == ["aws_ssm_parameter.slow (creating)"]
        else:
            outcome = apply(cloud, tmp_path, form, BUILT_IN)
            assert outcome.ending is Ending.STOPPED, log_of(tmp_path)
            assert "terraform_data.first" in cloud.resources(), log_of(tmp_path)
        assert not outcome.killed
        assert cloud.keys() == {STATE}, "no lock is left"
        assert "Two interrupts received" not in log_of(tmp_path)


@pytest.mark.full
def test_a_provisioner_at_the_time_out(tmp_path: Path) -> None:
    with SlowAws().running() as cloud:
        outcome = apply(cloud, tmp_path, "into tee", BUILT_IN, seconds=60)
        assert (outcome.ending, outcome.killed) == (Ending.TIMED_OUT, False), log_of(tmp_path)
        assert cloud.keys() == {STATE}
        assert {"terraform_data.first", "terraform_data.slow"} == cloud.resources(), log_of(tmp_path)
