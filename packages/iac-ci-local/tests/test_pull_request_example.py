"""``iac-ci local pr`` checks its example first, and reports the engine's refusal at once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from iac_ci_cli.errors import CommandFailed
from iac_ci_common.errors import InputProblems
from iac_ci_local.application import app
from iac_ci_local.example import check_example
from iac_ci_local.fake_hosts.demo import ENGINE, NUMBER, PERSON, Demo
from iac_ci_local.pull_request import NoRunStarted, OpenedPullRequest, opened_pull_request

CONFIGURATION = """\
version: 1
jobs:
  plan:
    on:
      pull_request:
        paths: ["network/**"]
    orders:
      - name: plan
        cmds: ["true"]
        timeout: 60
"""


@pytest.fixture
def example(tmp_path: Path) -> Path:
    folder = tmp_path / "example"
    for name in ("base", "change"):
        (folder / name / "network").mkdir(parents=True)
        (folder / name / "network" / "main.tf").write_text(f"# {name}\n")
    (folder / "base" / ".iac-ci.yml").write_text(CONFIGURATION)
    return folder


def remove(path: Path) -> None:
    for child in path.iterdir() if path.is_dir() else ():
        remove(child)
    path.rmdir() if path.is_dir() else path.unlink()


def test_the_example_itself_is_accepted(example: Path) -> None:
    check_example(example)


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (lambda root: remove(root / "base"), ["base is not a folder"]),
        (lambda root: (remove(root / "base"), remove(root / "change")), ["base is not", "change is not"]),
        (lambda root: remove(root / "base" / ".iac-ci.yml"), [".iac-ci.yml does not exist"]),
        (lambda root: (root / "base" / ".iac-ci.yml").write_text("version: [\n"), [".iac-ci.yml: line"]),
        (lambda root: (root / "base" / ".iac-ci.yml").write_bytes(b"\xff\x00"), [".iac-ci.yml"]),
        (lambda root: (root / "base" / ".iac-ci.yml").write_text("version: 9\njobs: 3\n"), ["version", "jobs"]),
        (lambda root: (root / "change" / "network" / "main.tf").write_text("# base\n"), ["does not change any file"]),
        (lambda root: (root / "change" / "network" / "main.tf").rename(root / "change" / "x"), ["has no job", "x"]),
    ],
)
def test_every_problem_is_reported_before_anything_starts(
    break_it: Any, expected: list[str], example: Path, tmp_path: Path
) -> None:
    break_it(example)
    with (
        pytest.raises(InputProblems) as raised,
        opened_pull_request(example, tmp_path / "hosted", stack="iac-ci", log_level="WARNING"),
    ):
        pass
    text = "\n".join(f"{problem.where} {problem.what}" for problem in raised.value.problems)
    for part in expected:
        assert part in text
    assert not (tmp_path / "hosted").exists()


def test_the_problems_of_secrets_are_reported_with_the_others(example: Path) -> None:
    """The command said that the job has them, after it had said that a local cloud starts."""
    (example / "local-secrets.json").write_text('{"nope": 1}')
    (example / "base" / ".iac-ci.yml").unlink()
    done = CliRunner().invoke(app, ["pr", str(example)])
    assert isinstance(done.exception, CommandFailed)
    assert done.exception.message == "the pull request"
    where = [problem.where for problem in done.exception.problems]
    assert where == [str(example / "base" / ".iac-ci.yml"), "local-secrets.json"]
    assert "Starting" not in done.output


class NoRuns:
    def __init__(self, *arguments: object) -> None:
        pass

    def read(self, key: str) -> None:
        return None


@pytest.fixture
def opened(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenedPullRequest:
    demo = Demo(tmp_path / "hosted", base=example / "base", change=example / "change")
    aws = SimpleNamespace(client=lambda service: service, check_alive=lambda: None, log_tail=lambda: "the log")
    cloud = SimpleNamespace(aws=aws, stack=SimpleNamespace(names=SimpleNamespace(resource=lambda name: name)))
    monkeypatch.setattr("iac_ci_local.pull_request.DynamoLedgers", NoRuns)

    return OpenedPullRequest(cast("Any", cloud), demo)


def test_the_engines_comment_is_the_reason(opened: OpenedPullRequest) -> None:
    opened.demo.project.write_comment(NUMBER, PERSON, "a comment of a person")
    opened.demo.project.write_comment(
        NUMBER, ENGINE, "<!-- iac-ci:notice:configuration -->\nNothing was started: \\.iac\\-ci\\.yml"
    )
    with pytest.raises(NoRunStarted, match=r"started no run: Nothing was started: \.iac-ci\.yml$"):
        opened.first_run()


def test_a_failed_status_is_the_reason(opened: OpenedPullRequest) -> None:
    head = opened.demo.project.repository.head("change")
    opened.demo.project.set_status(
        head, ENGINE, state="failure", context="iac-ci", description="has problems", target_url=None
    )
    with pytest.raises(NoRunStarted, match="iac-ci: has problems"):
        opened.first_run()


def test_a_refused_webhook_is_the_reason(opened: OpenedPullRequest) -> None:
    opened.demo.deliveries.send("pull_request", {"action": "opened"})
    with pytest.raises(NoRunStarted, match="the webhook answered nothing: no webhook URL is set"):
        opened.first_run()


def test_a_silent_engine_ends_the_wait_with_its_log(opened: OpenedPullRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iac_ci_local.pull_request._START_SECONDS", 0)
    with pytest.raises(NoRunStarted, match="the log"):
        opened.first_run()
