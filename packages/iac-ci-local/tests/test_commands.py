"""The commands, as a shell runs them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iac_ci_cli import process
from iac_ci_cli.errors import CommandFailed
from iac_ci_local import commands
from iac_ci_local.application import LocalGroup, app
from iac_ci_local.testing import processes_of, wait_until

pytestmark = pytest.mark.local_cloud

NAMES = {"run": "run", "pr": "pull_request", "up": "up"}
LOCAL = [sys.executable, "-c", "from iac_ci_cli.main import main; main()", "local"]
UP = [*LOCAL, "up", "--json"]


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_up_is_found_until_it_ends_and_leaves_nothing(sent: signal.Signals, code: int, tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    up = subprocess.Popen(UP, env=environment, stdout=subprocess.PIPE, text=True)
    assert up.stdout is not None
    said = json.loads(up.stdout.readline())
    (link,) = (tmp_path / "iac-ci").iterdir()
    assert json.loads(link.read_text("utf-8")) == said
    folder = link.resolve().parent
    assert processes_of(folder)
    up.send_signal(sent)
    assert up.wait() == code
    wait_until(lambda: not processes_of(folder) and not folder.exists(), subject="the end of everything")
    assert not link.exists()


def run_job(tmp_path: Path, job: object, *arguments: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "job.json").write_text(json.dumps(job))
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    return subprocess.run(
        [*LOCAL, "run", str(tmp_path / "job.json"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def job(*commands: str) -> dict[str, object]:
    return {"username": "tests", "orders": [{"order_name": "only", "cmds": list(commands), "timeout": 60}]}


def line_of(lines: list[str], text: str) -> int:
    """Return the index of the one line that has this text after its time."""
    (found,) = (index for index, line in enumerate(lines) if line[26:] == text)
    return found


def test_run_shows_a_success_and_exits_0(tmp_path: Path) -> None:
    done = run_job(tmp_path, job("true"))
    assert done.returncode == 0, done.stderr
    assert "only: succeeded" in done.stdout


def test_run_shows_the_output_of_orders_that_succeeded(tmp_path: Path) -> None:
    done = run_job(tmp_path, job("echo first-line", "seq 1 600 | sed 's/^/line-/'"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("line-")] == [f"line-{number}" for number in range(1, 601)]
    assert lines.index("first-line") < lines.index("line-1") < line_of(lines, "only: succeeded")


def test_run_shows_output_while_the_commands_run(tmp_path: Path) -> None:
    """Each order waits for a file that is made only when what it has printed was seen."""
    orders = [
        {"order_name": name, "cmds": [f"echo hello-of-{name}; until [ -e seen ]; do sleep 0.1; done".replace(
            "seen", str(tmp_path / f"seen-{name}"))], "timeout": 300}
        for name in ("one", "two")
    ]  # fmt: skip
    (tmp_path / "job.json").write_text(json.dumps({"username": "tests", "orders": orders}))
    run = subprocess.Popen(
        [*LOCAL, "run", str(tmp_path / "job.json")],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    lines = []
    for line in run.stdout:
        lines.append(line.rstrip("\n"))
        name, _, text = lines[-1].partition(" | ")
        if text == f"hello-of-{name}":
            (tmp_path / f"seen-{name}").touch()
    assert run.wait() == 0, lines
    for name in ("one", "two"):
        assert lines.count(f"{name} | hello-of-{name}") == 1
        assert lines.index(f"{name} | hello-of-{name}") < line_of(lines, f"{name}: succeeded")


def test_run_shows_the_states_alone_where_it_is_quiet(tmp_path: Path) -> None:
    done = run_job(tmp_path, job("echo the-output", "exit 7"), "--quiet")
    assert done.returncode == 1
    assert "the-output" not in done.stdout
    assert "only: failed (command 2 of 2 ended with exit code 7)" in done.stdout


def lines_until_it_stays(process: subprocess.Popen[str]) -> list[str]:
    """Return the output of a command that runs until Ctrl-C, which is then pressed."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if "Ctrl-C" in line:
            break
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate()
    return [*lines, *rest.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["run", "job.json", "--keep", "--stack", "other"], "--local --stack other"),
        (["up"], "iac-ci submit JOB --local"),
    ],
    ids=["run --keep", "up"],
)
def test_a_cloud_that_stays_says_how_to_reach_it(arguments: list[str], text: str, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps(job("seq 1 600")))
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    process = subprocess.Popen(
        [*LOCAL, *arguments], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines = lines_until_it_stays(process)
    assert lines[0] == "Starting a local cloud …"
    hints = [line for line in lines if "iac-ci logs" in line] or [line for line in lines if "iac-ci submit" in line]
    assert hints
    assert all(text in hint for hint in hints), hints


def test_hints_name_the_cloud_where_another_one_runs(tmp_path: Path) -> None:
    announced = tmp_path / "iac-ci"
    announced.mkdir(parents=True, mode=0o700)
    other = {"account": "111122223333", "stack": "iac-ci", "region": "us-east-1", "endpoint": "http://127.0.0.1:1"}
    (announced / "111122223333.json").write_text(json.dumps(other | {"access_key": "a", "secret_key": "s"}))
    process = subprocess.Popen(
        [*LOCAL, "up"],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    text = "\n".join(lines_until_it_stays(process))
    account = re.search(r"account ([0-9]{12})", text)
    assert account is not None
    assert f"iac-ci submit JOB --cloud {account[1]}\n" in text


def test_up_stores_secrets_and_code_and_says_what_it_stored(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "word").write_text("from the folder")
    (folder / "local-secrets.json").write_text(json.dumps({"ssm:/iac-ci/jobs/one": "hidden-one"}))
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    given = ["--secret", "secretsmanager:iac-ci/jobs/two=hidden-two"]
    process = subprocess.Popen(
        [*LOCAL, "up", str(folder), *given],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    text = "\n".join(lines_until_it_stays(process))
    assert "Stored the secret ssm:/iac-ci/jobs/one." in text
    assert "Stored the secret secretsmanager:iac-ci/jobs/two." in text
    assert f'Stored {folder}/code as code. Name it in an order: "s3_location": "s3://iac-ci-internal-' in text
    assert "hidden" not in text


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nowhere"], "nowhere is not a folder"),
        (["--code", "nowhere"], "nowhere is not a folder"),
        (["--secret", "no-location"], "must have the form LOCATION=VALUE"),
        (["--secret", "ftp:/x=y"], "--secret"),
    ],
)
def test_up_refuses_what_it_cannot_store_before_anything_starts(
    arguments: list[str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["up", *arguments])
    assert problem in f"{result.output}{result.exception}{getattr(result.exception, '__cause__', None)}"
    assert not list(tmp_path.iterdir())


def test_a_broken_configuration_of_a_pull_request_is_named_before_anything_starts(tmp_path: Path) -> None:
    for name, text in (("base/.iac-ci.yml", "version: 1\njobs: 3\n"), ("change/main.tf", "# changed\n")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        [*LOCAL, "pr", str(tmp_path), "--once"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("The pull request has 1 problem:\n")
    assert ".iac-ci.yml: line 2" in done.stderr
    assert not (tmp_path / "iac-ci").exists()


@pytest.mark.parametrize("command", [["run", "job.json"], ["pr", "."], ["up"]])
@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--stack", name) for name in ("a b", "A", "ab", "", "jobs", "a--b", "x" * 23, "stack-", "stäck", "a\nb")),
        *(("--log-level", level) for level in ("foo", "", "WARN ING", "10")),
    ],
)
def test_a_bad_option_is_refused_before_anything_starts(
    command: list[str], option: str, value: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, [*command, option, value])
    assert result.exit_code == 2
    assert option in result.output
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


def test_an_empty_argument_has_the_name_that_help_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert process.run(["local", "up", ""]) == 2
    assert capsys.readouterr().err.startswith("iac-ci: argument JOB: is empty; name a file or a folder")


def test_run_shows_the_tail_of_what_failed_and_exits_1(tmp_path: Path) -> None:
    done = run_job(tmp_path, job("echo the reason", "exit 7"))
    assert done.returncode == 1
    assert "the reason" in done.stdout
    assert "exit code 7" in done.stdout


def test_run_sends_a_folder_and_writes_json(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "word").write_text("from the folder")
    done = run_job(tmp_path, job('test "$(cat word)" = "from the folder"'), "--code", str(tmp_path / "tree"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"]["status"] == "succeeded"


def test_a_bad_job_names_every_problem_before_anything_starts(tmp_path: Path) -> None:
    done = run_job(tmp_path, {"username": "tests", "orders": [{"cmds": [], "timeout": 0}], "unknown": 1})
    assert done.returncode == 2
    for problem in ("cmds", "timeout", "unknown"):
        assert problem in done.stderr
    assert not (tmp_path / "iac-ci").exists()


def test_the_list_says_of_a_command_what_its_help_begins_with():
    helps = {one.callback.__name__: one.callback.__doc__ for one in commands.commands.registered_commands}
    said = {name: " ".join(helps[written].split("\n\n")[0].split()) for name, written in NAMES.items()}
    assert said == {name: command.summary for name, command in LocalGroup.own.items()}


@pytest.mark.parametrize(
    "sent", [signal.SIGKILL, *(pytest.param(one, marks=pytest.mark.full) for one in (signal.SIGINT, signal.SIGTERM))]
)
def test_a_killed_run_leaves_nothing(sent: signal.Signals, tmp_path: Path) -> None:
    started = tmp_path / "started"
    (tmp_path / "job.json").write_text(json.dumps(job(f"touch {started}; sleep 300")))
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    run = subprocess.Popen(
        [*LOCAL, "run", str(tmp_path / "job.json")],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(started.exists, subject="the command's start")
    (link,) = (tmp_path / "iac-ci").iterdir()
    folder = link.resolve().parent
    assert processes_of(folder)
    run.send_signal(sent)
    _, messages = run.communicate()
    assert run.returncode != 0
    if sent is signal.SIGINT:
        assert messages.endswith("iac-ci: interrupted: the local cloud ended, and everything in it\n")
    wait_until(lambda: not processes_of(folder) and not folder.exists(), subject="the end of everything")


def test_a_list_of_tool_sources_is_checked_before_anything_starts(tmp_path):
    path = tmp_path / "sources.json"
    path.write_text('{"terraform": {"address": "https://mirror.example.com/terraform"}}')
    assert commands._tool_sources(path)["terraform"].address == "https://mirror.example.com/terraform"
    for text in ("", "[]", '{"ansible": {"address": "https://example.com"}}', '{"terraform": {"address": "ftp://x"}}'):
        path.write_text(text)
        with pytest.raises(CommandFailed, match="is not a list of tool sources"):
            commands._tool_sources(path)
