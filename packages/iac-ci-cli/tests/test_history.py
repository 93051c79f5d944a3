"""``iac-ci runs``: what is listed, in which order, page by page."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise
from typing import Any

import jsonschema
import pytest
from rich.console import Console
from typer.testing import CliRunner

from iac_ci_cli import render, stack_options
from iac_ci_cli.answers import schema
from iac_ci_cli.history import Wanted, find_runs
from iac_ci_cli.main import app
from iac_ci_cli.times import parse_since
from iac_ci_common.clock import SystemClock
from iac_ci_common.errors import PortFailed
from iac_ci_common.models.rows import ReportTarget
from iac_ci_common.run_events import accepted_event, run_event
from iac_ci_common.states import RunState
from iac_ci_common.testing import MemoryHistory, MemoryRuns
from iac_ci_common.testing.samples import run_row

NOW = SystemClock().now().replace(microsecond=0)
ENDS = (RunState.SUCCEEDED, RunState.FAILED, RunState.TIMED_OUT, RunState.CANCELLED)


class Stack:
    """A stack whose history is in memory."""

    options = " --stack acme"

    def __init__(self) -> None:
        self.runs = MemoryRuns()
        self.history: Any = MemoryHistory(self.runs, SystemClock())

    def ran(self, number, before, state=RunState.SUCCEEDED, *, took=timedelta(minutes=2), projects=(), **fields):
        at = NOW - before
        values = {"job_name": "plan", "repository": "github.com/acme/infra", "branch": "main", "actor": "alice"}
        row = run_row(
            run_id=f"{at:%Y%m%dT%H%M%S}-{number:012x}", trace_id=f"{number:016x}", accepted_at=at, **(values | fields)
        )
        self.runs.record([accepted_event(row, projects)])
        if state is not RunState.QUEUED:
            self.runs.record([run_event(row, at + timedelta(seconds=3))])
        if state in ENDS:
            ended = row.model_copy(update={"status": state, "reason": f"{state.value} reason"})
            self.runs.record([run_event(ended, at + took)])
        return row.run_id


@pytest.fixture
def stack(monkeypatch):
    found = Stack()
    monkeypatch.setattr(stack_options, "connect", lambda *arguments, **options: found)
    return found


def listed(*arguments):
    done = CliRunner().invoke(app, ["runs", "--json", *arguments])
    assert done.exit_code == 0, done.output
    payload = json.loads(done.stdout)
    jsonschema.validate(payload, schema("runs"))
    return payload


def ids(*arguments):
    return [run["run_id"] for run in listed(*arguments)["runs"]]


def test_runs_are_listed_newest_first_with_their_states(stack):
    ran = [stack.ran(number, timedelta(days=number), state) for number, state in enumerate(ENDS, 1)]
    running = stack.ran(8, timedelta(minutes=1), RunState.RUNNING)
    queued = stack.ran(9, timedelta(), RunState.QUEUED)
    found = listed()["runs"]
    assert [run["run_id"] for run in found] == [queued, running, *ran]
    assert [run["state"] for run in found] == ["queued", "running", *(state.value for state in ENDS)]
    assert found[3]["reason"] == "failed reason"


REPORT = ReportTarget(repository="https://github.com/acme/infra", number=7, pull_request=7)
FILTERS = [
    (["--repo", "acme/infra"], {"repository": "gitlab.com/acme/other"}),
    (["--repo", "https://GitHub.com/acme/infra.git"], {"repository": "github.com/acme/infra-2"}),
    (["--repo", "github.com/acme/infra"], {"repository": "ghe.example.com/acme/infra"}),
    (["--repo", "acme/infra"], {"repository": None}),
    (["--branch", "main"], {"branch": "change"}),
    (["--branch", "m*n"], {"branch": "maintenance"}),
    (["--actor", "Alice"], {"actor": "bob"}),
    (["--project", "network"], {"projects": ("network/prod",)}),
    (["--project", "net*"], {"projects": ("storage",)}),
    (["--pr", "7"], {"report": REPORT.model_copy(update={"pull_request": 8})}),
    (["--pr", "7"], {"report": None}),
    (["--state", "failed", "--state", "succeeded"], {"state": RunState.CANCELLED}),
    (["--since", "2h"], {"before": timedelta(hours=3)}),
]


@pytest.mark.parametrize(("arguments", "other"), FILTERS)
def test_each_option_leaves_out_other_runs(stack, arguments, other):
    same = {"before": timedelta(hours=1), "report": REPORT, "projects": ("network",)}
    wanted = stack.ran(1, **same)
    stack.ran(2, **(same | other))
    assert ids(*arguments) == [wanted]
    assert len(ids()) == 2


@pytest.mark.parametrize(
    ("since", "note"),
    [
        ("365d", "Runs are listed for 90 days; --since 365d asks for more.\n"),
        ("2001-01-01", "Runs are listed for 90 days; --since 2001-01-01 asks for more.\n"),
        ("90d", ""),
        ("12h", ""),
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_time_before_all_listed_runs_is_told(stack, since, note, form):
    stack.ran(1, timedelta(hours=1))
    assert CliRunner().invoke(app, ["runs", "--since", since, *form]).stderr == note
    assert len(ids("--since", since)) == 1


@pytest.mark.parametrize("most", [1, 2, 3, 7, 50])
def test_pages_together_are_the_whole_list(stack, most):
    # Several of one millisecond, several of a day, and days without any.
    whole = [stack.ran(number, timedelta(hours=7) * (number // 3)) for number in range(30)]
    whole += [stack.ran(number, timedelta(days=number)) for number in range(40, 80, 9)]
    found, after = [], []
    while True:
        page = listed("--limit", str(most), *after)
        assert len(page["runs"]) <= most
        found += page["runs"]
        if page["next_page"] is None:
            break
        after = ["--after", page["next_page"]]
    assert sorted(run["run_id"] for run in found) == sorted(whole)
    assert [run["accepted_at"] for run in found] == sorted((run["accepted_at"] for run in found), reverse=True)


def test_a_run_that_ended_long_after_the_next_page_begins_has_its_state_there(stack):
    slow = stack.ran(1, timedelta(days=3), took=timedelta(hours=23))
    newer = stack.ran(2, timedelta(days=3) - timedelta(minutes=1))
    page = listed("--limit", "1")
    assert [run["run_id"] for run in page["runs"]] == [newer]
    (found,) = listed("--after", page["next_page"])["runs"]
    assert (found["run_id"], found["state"]) == (slow, "succeeded")


def test_what_a_version_before_wrote_is_shown_as_unknown(stack):
    run = stack.ran(1, timedelta(days=2), RunState.RUNNING, job_name=None, repository=None, branch=None, actor=None)
    (found,) = listed()["runs"]
    assert (found["run_id"], found["state"], found["is_known"]) == (run, "unknown", False)
    text = CliRunner().invoke(app, ["runs"]).stdout.splitlines()[1]
    assert text.split().count("unknown") == 6
    assert listed("--repo", "acme/infra")["runs"] == []


def test_a_run_with_more_projects_than_its_event_names_is_not_left_out(stack):
    wanted = stack.ran(1, timedelta(hours=1), projects=tuple(f"{number:04d}{'x' * 1000}" for number in range(40)))
    stack.ran(2, timedelta(hours=1), projects=("other",))
    assert ids("--project", "network") == [wanted]


def test_the_list_names_the_command_for_the_next_page(stack):
    for number in range(3):
        stack.ran(number, timedelta(hours=number))
    arguments = ["runs", "--limit", "2", "--branch", "m*", "--state", "succeeded"]
    lines = CliRunner().invoke(app, arguments).stdout.splitlines()
    assert lines[0].split()[0] == "Run"
    assert lines[-1].startswith("More: iac-ci runs --branch 'm*' --limit 2 --state succeeded --after ")
    assert lines[-1].endswith(" --stack acme")
    # A time has its offset, wherever it is shown.
    assert any(part[-6] in "+-" and part[-3] == ":" for part in lines[1].split() if len(part) > 6)


def test_text_of_a_host_commands_no_terminal(stack):
    stack.ran(1, timedelta(hours=1), branch="x\x1b]0;title\x07\x1b[31my", actor="\u202eevil")
    text = CliRunner().invoke(app, ["runs"]).stdout
    assert "\x1b" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize(
    "arguments",
    [["--since", "yesterday"], ["--after", "x"], ["--after", "1234567890123-x"], ["--pr", "0"], ["--limit", "0"]],
)
def test_arguments_that_mean_nothing_are_refused(stack, arguments):
    assert CliRunner().invoke(app, ["runs", *arguments]).exit_code != 0


def test_no_run_is_said_in_words(stack):
    assert CliRunner().invoke(app, ["runs"]).stdout == "There were no runs in the last 90 days.\n"
    assert CliRunner().invoke(app, ["runs", "--pr", "3"]).stdout == "No run fits.\n"


@pytest.mark.parametrize("width", [40, 80, 300])
def test_no_word_is_broken_on_a_narrow_terminal(stack, width, monkeypatch):
    """On 80 columns the table had cells of four letters; on 60 it had a letter on each line."""
    monkeypatch.setattr(render, "console", lambda: Console(force_terminal=True, width=width, color_system=None))
    run = stack.ran(1, timedelta(hours=1), pull_request=None)
    lines = CliRunner().invoke(app, ["runs"]).stdout.splitlines()
    facts = ("plan", "github.com/acme/infra", "main", "alice")
    assert {run, "succeeded", *facts} <= {word.strip(",") for line in lines for word in line.split()}
    assert any("Started by" in line for line in lines) == (width == 300)
    assert all(len(line.rstrip()) <= width for line in lines)


def test_a_stack_of_a_version_before_is_named(stack):
    class Without:
        def job_events(self, since, until):
            raise PortFailed("ValidationException: The table does not have the specified index: job_day-epoch")

    stack.history = Without()
    done = CliRunner().invoke(app, ["runs"])
    assert done.exception.message == "the stack iac-ci has no index of runs yet"
    assert "Deploy this version" in done.exception.hint


def test_an_empty_history_is_read_in_few_periods():
    asked = []

    class Empty:
        def job_events(self, since, until):
            asked.append((since, until))
            return []

    assert not find_runs(Empty(), Wanted(), NOW, most=20).runs
    assert len(asked) <= 15
    assert all(until == later[0] for later, (_, until) in pairwise(asked))


@pytest.mark.parametrize(
    ("text", "at"),
    [("12h", NOW - timedelta(hours=12)), ("2w", NOW - timedelta(days=14)), (NOW.isoformat(), NOW)],
    # Each process of pytest-xdist must collect the same names, whatever time it is.
    ids=["hours", "weeks", "a date"],
)
def test_a_time_is_read_as_people_write_it(text, at):
    assert parse_since(text, NOW) == at
