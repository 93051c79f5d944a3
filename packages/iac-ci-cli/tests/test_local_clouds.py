"""Which local cloud a command works on: never one that nobody chose."""

from __future__ import annotations

import json
import os

import pytest

from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.local_clouds import choose_local_cloud


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


def test_the_only_one_is_used(announce):
    announce("111111111111")
    assert choose_local_cloud("iac-ci")["account"] == "111111111111"


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
        "  --cloud 111111111111   started 2023-11-14 22:13:20 UTC by process 4242",
        "  --cloud 222222222222   started 2023-11-14 22:15:00 UTC by process 4242",
    ]
    assert choose_local_cloud("iac-ci", "222222222222")["account"] == "222222222222"


def test_one_that_does_not_run_is_named_with_those_that_do(announce):
    assert "iac-ci local up" in refused("iac-ci").hint
    announce("111111111111", stack="other")
    error = refused("iac-ci", "333333333333")
    assert error.message == "the local cloud 333333333333 with a stack iac-ci is not running"
    assert "--cloud 111111111111 --stack other" in error.hint


def test_files_that_no_cloud_wrote_are_ignored(announce, tmp_path):
    announce("111111111111")
    for name, content in {"a": b"{", "b": b"[]", "c": b"{}", "d": b"\xff"}.items():
        (tmp_path / "iac-ci" / f"{name}.json").write_bytes(content)
    (tmp_path / "iac-ci" / "e.json").symlink_to("/nothing")
    assert choose_local_cloud("iac-ci")["account"] == "111111111111"
