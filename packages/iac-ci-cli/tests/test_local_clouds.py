"""Which local cloud a command works on: never one that nobody chose."""

from __future__ import annotations

import io
import json
import os
from datetime import UTC, datetime

import pytest

from iac_ci_cli import connection
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.local_clouds import announcement_folder, can_ask, choose_local_cloud


@pytest.fixture
def announce(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = tmp_path / "iac-ci"
    folder.mkdir()

    def announce(account, stack="iac-ci", since=1_700_000_000):
        state = {
            "account": account,
            "stack": stack,
            "pid": 4242,
            "region": "us-east-1",
            "endpoint": "http://127.0.0.1:1",
            "access_key": "a",
            "secret_key": "s",
        }
        (folder / f"{account}.json").write_text(json.dumps(state))
        os.utime(folder / f"{account}.json", (since, since))

    return announce


def refused(*arguments):
    with pytest.raises(CommandFailed) as caught:
        choose_local_cloud(*arguments)
    return caught.value


def started(since):
    return datetime.fromtimestamp(since, UTC).astimezone().isoformat(sep=" ", timespec="seconds")


@pytest.fixture
def reached(monkeypatch):
    """Reach a local cloud without asking it for anything."""
    monkeypatch.setattr(connection, "_read_names", lambda client: client)
    return lambda **options: connection.connect("iac-ci", local=True, **options)


def test_the_cloud_that_is_taken_is_named(announce, reached, capsys):
    announce("111111111111")
    assert reached().options == " --local"
    assert capsys.readouterr().err == f"Local cloud 111111111111, started {started(1_700_000_000)} by process 4242\n"
    reached(quiet=True)
    reached(cloud="111111111111")
    assert not capsys.readouterr().err


@pytest.mark.parametrize(("answer", "account"), [("2\n", "222222222222"), ("1\n", "111111111111")])
def test_a_person_is_asked_which_of_several_to_take(announce, reached, monkeypatch, capsys, answer, account):
    announce("111111111111")
    announce("222222222222", since=1_700_000_100)
    monkeypatch.setattr(connection, "can_ask", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    # The hints of this command name it too: another command would ask again.
    assert reached().options == f" --cloud {account}"
    assert "  2  222222222222   started" in capsys.readouterr().err


@pytest.mark.parametrize("answer", ["", "\n", "3\n", "0\n", "x\n", "-1\n"])
def test_an_answer_that_names_none_takes_none(announce, reached, monkeypatch, answer):
    announce("111111111111")
    announce("222222222222")
    monkeypatch.setattr(connection, "can_ask", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    with pytest.raises(CommandFailed, match="2 local clouds"):
        reached()


def test_a_program_is_never_asked(announce, reached, monkeypatch):
    announce("111111111111")
    announce("222222222222")
    monkeypatch.setattr(connection, "can_ask", lambda: True)
    with pytest.raises(CommandFailed, match="2 local clouds"):
        reached(quiet=True)


def test_nobody_is_asked_where_standard_input_is_closed(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    assert not can_ask()


def test_the_only_one_is_used(announce):
    announce("111111111111")
    assert choose_local_cloud("iac-ci").state["account"] == "111111111111"


def test_several_are_listed_and_none_is_taken(announce):
    announce("222222222222", since=1_700_000_100)
    announce("111111111111")
    error = refused("iac-ci")
    assert (error.message, error.exit_code) == (
        "2 local clouds with a stack iac-ci are running",
        ExitCode.BAD_INPUT,
    )
    assert error.hint.splitlines() == [
        "Name one of them:",
        f"  --cloud 111111111111   started {started(1_700_000_000)} by process 4242",
        f"  --cloud 222222222222   started {started(1_700_000_100)} by process 4242",
    ]
    assert choose_local_cloud("iac-ci", "222222222222").state["account"] == "222222222222"


def test_one_that_does_not_run_is_named_with_those_that_do(announce):
    assert "`iac-ci local up`" in refused("iac-ci").hint
    assert "`iac-ci local up --stack other`" in refused("other").hint
    announce("111111111111", stack="other")
    error = refused("iac-ci", "333333333333")
    assert error.message == "the local cloud 333333333333 with a stack iac-ci is not running"
    assert "--cloud 111111111111 --stack other" in error.hint


def test_files_that_no_cloud_wrote_are_ignored(announce, tmp_path):
    announce("111111111111")
    for name, content in {"a": b"{", "b": b"[]", "c": b"{}", "d": b"\xff"}.items():
        (tmp_path / "iac-ci" / f"{name}.json").write_bytes(content)
    (tmp_path / "iac-ci" / "e.json").symlink_to("/nothing")
    assert choose_local_cloud("iac-ci").state["account"] == "111111111111"


@pytest.mark.parametrize("left", ["", "relative", "/nothing/of/a/session/that/has/ended"])
def test_a_variable_that_names_no_folder_of_this_user_counts_as_none(monkeypatch, tmp_path, left):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", left)
    assert announcement_folder() == tmp_path / f"iac-ci-{os.getuid()}"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    assert announcement_folder() == tmp_path / "own" / "iac-ci"
