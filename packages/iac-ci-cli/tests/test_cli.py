from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iac_ci_cli import jobs
from iac_ci_cli.code import files_of, pack_code
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.render import plain, summary
from iac_ci_common.errors import InputProblems
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing.samples import START, order_row, run_row

JOB = {"username": "tests", "orders": [{"cmds": ["true"], "timeout": 60}]}


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    for name, content in {
        "main.tf": "", ".gitignore": "*.log\n/build/\n", "x.log": "", "build/out": "", "sub/keep": "",
        "sub/.gitignore": "secret\n", "sub/secret": "", "sub/build/in": "",
    }.items():  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    (root / "link").symlink_to("main.tf")
    return root


EXPECTED = [".gitignore", "link", "main.tf", "sub/.gitignore", "sub/build/in", "sub/keep"]


def test_what_git_ignores_is_not_packed_inside_a_work_tree_and_outside(tree):
    assert files_of(tree) == EXPECTED
    subprocess.run(["git", "init", "--quiet", str(tree)], check=True)
    assert files_of(tree) == EXPECTED


def test_the_same_folder_has_the_same_digest(tree):
    first, digest = pack_code(tree)
    os.utime(tree / "main.tf", (0, 0))
    assert pack_code(tree)[1] == digest
    with zipfile.ZipFile(io.BytesIO(first)) as zipped:
        assert sorted(zipped.namelist()) == EXPECTED


def test_a_folder_that_cannot_be_packed_says_why(tree):
    (tree / "bad").symlink_to("/etc/passwd")
    with pytest.raises(CommandFailed, match="outside"):
        pack_code(tree)
    with pytest.raises(CommandFailed, match="no folder"):
        pack_code(tree / "nothing")


def test_code_is_named_where_an_order_has_none():
    body = {**JOB, "orders": [{}, {"git_repo": "x"}, {"s3_location": "s3://own/key"}]}
    named = json.loads(jobs.name_code(json.dumps(body).encode(), "s3://b/k"))["orders"]
    assert [order.get("s3_location") for order in named] == ["s3://b/k", None, "s3://own/key"]
    with pytest.raises(InputProblems):
        jobs.name_code(b"[]", "s3://b/k")


@given(st.text())
def test_nothing_that_is_shown_commands_a_terminal(text):
    shown = plain(text)
    assert not any(ord(character) < 32 and character not in "\n\t" for character in shown)
    assert "\x7f" not in shown
    assert "\u202e" not in shown


def test_colours_and_titles_are_taken_out():
    assert plain("\x1b[31mred\x1b[0m \x1b]0;title\x07end\r\n") == "red end\n"


def test_the_summary_says_how_it_ended():
    run = run_row(status=RunState.TIMED_OUT, finished_at=START, reason="the run's time is up")
    text = summary(run, [order_row(1, status=OrderState.SUCCEEDED), order_row(2, status=OrderState.CANCELLED)])
    assert "timed out" in text
    assert "1 cancelled, 1 succeeded" in text


def iac_ci(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = "from iac_ci_cli.main import main; main()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, env=environment, check=False
    )


def test_a_valid_job_and_a_bad_one(tmp_path: Path):
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(JOB))
    bad.write_text(json.dumps({**JOB, "job_timeout": 1, "x": 2}))
    assert iac_ci("validate", str(good)).returncode == ExitCode.SUCCEEDED
    refused = iac_ci("validate", str(bad))
    assert refused.returncode == ExitCode.BAD_INPUT
    assert "x: is no field" in refused.stderr
    assert "Traceback" not in refused.stderr
    answer = json.loads(iac_ci("validate", "--json", str(bad)).stdout)
    assert not answer["valid"]
    assert answer["problems"][0]["where"] == "x"


def test_a_file_that_is_not_there_is_said_plainly():
    done = iac_ci("validate", "/nothing.json")
    assert done.returncode == ExitCode.BAD_INPUT
    assert done.stderr.startswith("iac-ci: /nothing.json cannot be read")


def test_without_a_local_cloud_the_next_step_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    done = iac_ci("status", "20260101T000000-0123456789ab", "--local")
    assert done.returncode == ExitCode.UNREACHABLE
    assert "iac-ci local up" in done.stderr


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"error": "x", "problems": [{"where": "a", "what": "b"}]}', InputProblems),
        (401, b'{"error": "unsigned"}', CommandFailed),
        (413, b'{"message": "too large"}', CommandFailed),
        (502, b"<html>", CommandFailed),
        (500, b"[]", CommandFailed),
    ],
)
def test_refusals_are_told_apart(status, body, kind):
    assert isinstance(jobs._refused(status, body), kind)
