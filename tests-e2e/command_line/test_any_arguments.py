"""Five hundred command lines drawn at random: each ends with a documented exit code and in words of ours."""

from __future__ import annotations

import io
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from iac_ci_cli import process
from iac_ci_cli.errors import ExitCode
from iac_ci_local.ministack import LocalAws, LocalCloudError

README = Path(__file__).resolve().parents[2] / "packages" / "iac-ci-cli" / "README.md"
RUN = "20260101T000000-0123456789ab"
LINES = 500
SECONDS = 60.0
"""Far more than any line needs, also on a busy machine: it finds those that never end."""

COMMANDS = ["submit", "watch", "status", "logs", "events", "doctor", "nudge", "cancel", "validate", "local"]
LOCAL = ["run", "pr", "up", "frobnicate"]
OPTIONS = [
    "--stack", "--local", "--json", "--wait", "--code", "--reason", "--kind", "--cloud", "--idempotency-key",
    "--secrets-prefix", "--allow-secret", "--help", "--keep", "--once", "--log-level", "--secret", "--show-completion",
    "--stak", "-x", "--", "-", "--json=1", "--stack=", "--stack=a b", "--log-level=loud",
]  # fmt: skip
VALUES = [
    RUN, "iac-ci", "other-stack", "a b", "UPPER", "x" * 30, "x" * 100_000, "ünï", "\n", "", " ", "\udcff", "\x1b[31m",
    "0001", "1", "111111111111", "job", "configuration", "DEBUG", "NAME=VALUE", "ssm:/a=b", "=", "[", "../..", "/",
    "/nothing", "/dev/null", "%s%d{}", "$(id)", "🙂", "\u202e", "99999999999999999999",
]  # fmt: skip
FORBIDDEN = re.compile(
    r"Traceback|pydantic|typer|botocore|boto3|click\.|ValidationError|validation error|Value error|ClientError"
    r"|object at 0x"
)


def command_line(number: int, files: list[str]) -> list[str]:
    """Return the same words for the same number: mostly a command, then options, values, files and garbage.

    Every tenth line is one that a person would write: a stack that is asked, or help.
    """
    draw = random.Random(number)
    if number % 10 == 0:
        return [draw.choice(COMMANDS[1:8]), draw.choice([RUN, RUN, "--help"])]
    words = [draw.choice(COMMANDS)] if draw.random() < 0.95 else []
    if words == ["local"]:
        words.append(draw.choice(LOCAL))
    pool = OPTIONS + VALUES + files * 3
    words += [draw.choice(pool) for _ in range(draw.randrange(6))]
    if draw.random() < 0.5:
        words.insert(draw.randrange(len(words) + 1), RUN if draw.random() < 0.7 else draw.choice(files))
    return words


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files and folders of all kinds that a job or a configuration may be taken for."""
    folder = tmp_path_factory.mktemp("files")
    contents = {
        "job.json": b'{"username": "t", "orders": [{"cmds": ["true"], "timeout": 60}]}',
        "bad.json": b'{"orders": [{}], "x": NaN}',
        "binary": bytes(range(256)),
        "empty": b"",
        "deep.json": b"[" * 50_000,
        ".iac-ci.yml": b"version: 1\njobs: {}\n",
        "deep.yml": b"[" * 50_000,
        "local-secrets.json": b"[]",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "code").mkdir()
    (folder / "base").mkdir()
    return [str(folder), str(folder / "code"), *(str(folder / name) for name in contents)]


@pytest.fixture(scope="module")
def codes():
    """The exit codes that the README lists."""
    section = README.read_text("utf-8").split("## Exit codes", 1)[1]
    return {int(number) for number in re.findall(r"^\| `(\d+)` \|", section, re.MULTILINE)}


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """An AWS that does not answer, and local clouds that do not start."""
    for name, value in settings(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("IAC_CI_STACK", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"{}")))

    def refuse(_):
        raise LocalCloudError("no local cloud starts in this test")

    monkeypatch.setattr(LocalAws, "start", refuse)


def settings(folder: Path) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "XDG_RUNTIME_DIR": str(folder),
    }


def test_the_readme_lists_every_exit_code(codes):
    assert codes == {int(code) for code in ExitCode}


def test_no_command_line_brings_a_traceback_or_a_librarys_words(nowhere, files, codes):
    ends: Counter[int] = Counter()
    for number in range(LINES):
        words = command_line(number, files)
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
        began = time.monotonic()
        with redirect_stdout(out), redirect_stderr(err):
            code = process.run(words)
        ends[code] += 1
        printed = b"".join(stream.buffer.getvalue() for stream in (out, err)).decode()
        shown = [word[:80] for word in words]
        assert code in codes - {ExitCode.FAULT}, (number, shown, code, printed[:2000])
        # A file's own text and an argument may hold any word; neither does here.
        assert not FORBIDDEN.search(printed), (number, shown, printed[:2000])
        assert code in {0, ExitCode.RUN_FAILED} or printed.strip(), (number, shown)
        assert time.monotonic() - began < SECONDS, (number, shown)
    # The draw reaches what it is meant to reach: files that are checked, stacks that are asked, help.
    assert ends[ExitCode.BAD_INPUT] > 100
    assert ends[ExitCode.UNREACHABLE] > 20
    assert ends[ExitCode.SUCCEEDED] > 10


def test_the_same_holds_for_processes(tmp_path, files, codes):
    program = [sys.executable, "-c", "from iac_ci_cli.process import main; main()"]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONIOENCODING": "ascii", **settings(tmp_path)}
    lines = [command_line(number, files) for number in range(1000, 1040)]
    for words in [line for line in lines if "up" not in line and "local" not in line[:1]][:10]:
        done = subprocess.run(
            [*program, *(word.encode("utf-8", "surrogateescape") for word in words)],
            env=environment,
            input=b"{}",
            capture_output=True,
            timeout=120,
        )
        printed = (done.stdout + done.stderr).decode("utf-8", "replace")
        assert done.returncode in codes - {ExitCode.FAULT}, (words, printed[:2000])
        assert not FORBIDDEN.search(printed), (words, printed[:2000])
