"""A run by the beginning of its id, an order by its number, and both in the shell."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from iac_ci_cli import completion, connection
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.lookup import find_order, whole_run_id
from iac_ci_cli.main import app
from iac_ci_cli.options import check_run
from iac_ci_common import keys
from iac_ci_common.errors import PortFailed
from iac_ci_common.run_events import accepted_event
from iac_ci_common.testing import FakeClock, MemoryHistory, MemoryObjects, MemoryRuns
from iac_ci_common.testing.samples import RUN_ID, START, queued, run_row

OTHER = "20260101T000000-0123ffffffff"


class Stack:
    """A stack in memory with two runs of one second, and one that is being prepared."""

    options = " --local"

    def __init__(self) -> None:
        self.clock = FakeClock(START)
        self.runs = MemoryRuns()
        self.internal = MemoryObjects(self.clock)
        self.history = MemoryHistory(self.runs, self.clock)
        self.runs.insert(*queued([{"order_name": "plan"}, {"order_name": "apply"}]))
        self.runs.record([accepted_event(run_row(run_id=OTHER, trace_id="f" * 16), ())])
        self.internal.put(keys.job("20260101T000130-aaaaaaaaaaaa"), b"{}")


@pytest.mark.parametrize(
    ("text", "run"),
    [
        (RUN_ID, RUN_ID),
        (RUN_ID[:-1], RUN_ID),
        ("20260101T000000-01234", RUN_ID),
        ("20260101T000000-0123f", OTHER),
        ("20260101T0001", "20260101T000130-aaaaaaaaaaaa"),
    ],
)
def test_a_unique_beginning_is_as_good_as_an_id(text, run):
    assert whole_run_id(Stack(), check_run(text)) == run


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("20260101T000000", "the ids of 2 runs begin with"),
        ("2026", "the ids of 3 runs begin with"),
        ("2025", "no run's id begins with"),
        ("20260132", "no run's id begins with"),
    ],
)
def test_a_beginning_of_several_or_of_none_is_refused(text, words):
    with pytest.raises(CommandFailed, match=words) as caught:
        whole_run_id(Stack(), check_run(text))
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    if "no run" in words:
        assert "`iac-ci runs --local`" in caught.value.hint
    if "ids of" in words:
        assert RUN_ID in caught.value.hint


def test_a_run_of_the_last_day_is_found_on_a_stack_of_a_version_before():
    stack = Stack()

    class Without:
        def job_events(self, since, until):
            raise PortFailed("ValidationException: The table does not have the specified index")

    stack.history = Without()
    assert whole_run_id(stack, "20260101T0001") == "20260101T000130-aaaaaaaaaaaa"


@pytest.mark.parametrize("text", ["", "x", "20260101T000000-XYZ", f"{RUN_ID}0", "2026-01-01", "../../x", f"{RUN_ID}\n"])
def test_what_no_id_begins_with_is_refused_before_a_stack_is_asked(text):
    with pytest.raises(CommandFailed, match="is not a valid run id"):
        check_run(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", "0001"), ("0001", "0001"), ("01", "0001"), ("plan", "0001"), ("2", "0002"), ("10", "0010")],
)
def test_an_order_is_found_by_its_number_or_name(text, number):
    rows = queued([{"order_name": "plan"}, *({} for _ in range(9))])
    assert find_order(rows, RUN_ID, text).order_num == number


def test_a_name_that_is_a_number_counts_before_the_number():
    rows = queued([{"order_name": "2"}, {"order_name": "1"}])
    assert find_order(rows, RUN_ID, "1").order_num == "0002"


def offered(monkeypatch, words):
    """Return what bash is offered after these words."""
    environment = {"_IAC_CI_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()))}
    if not words.endswith(" "):
        environment["COMP_CWORD"] = str(len(words.split()) - 1)
    done = CliRunner().invoke(app, [], env=environment, prog_name="iac-ci")
    return done.stdout.split()


@pytest.fixture
def stack(monkeypatch):
    found = Stack()
    found.clock = FakeClock(START)
    asked = []

    def connect(name, **options):
        asked.append((name, options["local"]))
        return found

    monkeypatch.setattr(connection, "connect", connect)
    monkeypatch.setattr(completion, "datetime", type("Now", (), {"now": staticmethod(lambda zone: START)}))
    found.asked = asked
    return found


@pytest.mark.parametrize("command", ["watch", "status", "logs", "files", "events", "doctor", "nudge", "cancel"])
def test_the_shell_offers_runs(monkeypatch, stack, command):
    assert offered(monkeypatch, f"iac-ci {command} 2026") == [OTHER, RUN_ID]
    assert offered(monkeypatch, f"iac-ci {command} {OTHER[:-2]}") == [OTHER]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_nothing_about_a_run_is_more_than_letters_for_a_shell(monkeypatch, stack, shell):
    event = accepted_event(run_row(run_id=OTHER, trace_id="e" * 16), ())
    stack.runs.record([event.model_copy(update={"branch": "f\\$(touch x)`y`;'\"[/b]é\n\u202e", "at": START})])
    environment = {"_IAC_CI_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": f"iac-ci watch {OTHER[:-2]}",
                   "_TYPER_COMPLETE_FISH_ACTION": "get-args"}  # fmt: skip
    printed = CliRunner().invoke(app, [], env=environment, prog_name="iac-ci").stdout
    assert "f???touch x??y?????/b?é??" in printed
    assert OTHER in printed


@pytest.mark.parametrize("command", ["logs", "files", "cancel"])
def test_the_shell_offers_orders(monkeypatch, stack, command):
    assert offered(monkeypatch, f"iac-ci {command} {RUN_ID} ") == ["plan", "apply"]
    assert offered(monkeypatch, f"iac-ci {command} --local {RUN_ID} a") == ["apply"]
    assert stack.asked[-1] == ("iac-ci", True)


def test_a_shell_without_a_stack_is_offered_nothing(monkeypatch):
    def refuse(name, **options):
        raise CommandFailed("no stack")

    monkeypatch.setattr(connection, "connect", refuse)
    assert offered(monkeypatch, "iac-ci watch 2026") == []
