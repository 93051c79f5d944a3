"""Exit codes with a meaning: what succeeds, what is changed, and what bash itself reports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from iac_ci_common.states import OrderState
from iac_ci_worker.decide import Ending, Outcome, verdict

sys.path.insert(0, str(Path(__file__).parent))
from test_worker import World

S = OrderState
ENDS = [
    (["exit 2"], ((0, 2),), S.SUCCEEDED, 2, True, None),
    (["exit 0"], ((0, 2),), S.SUCCEEDED, 0, False, None),
    (["exit 2", "echo next"], ((0, 2), (0,)), S.SUCCEEDED, 0, True, None),
    (["exit 1"], ((0, 2),), S.FAILED, 1, False, "command 1 of 1 ended with exit code 1, and only 0, 2 are ok"),
    (["exit 0"], ((3,),), S.FAILED, 0, False, "command 1 of 1 ended with exit code 0, and only 3 is ok"),
    (["exit 3"], ((3,),), S.SUCCEEDED, 3, True, None),
    (["exit 2", "exit 5"], ((0, 2), (0,)), S.FAILED, 5, False, "command 2 of 2 ended with exit code 5"),
    (["exit 2"], None, S.FAILED, 2, False, "command 1 of 1 ended with exit code 2"),
]


@pytest.mark.parametrize(("cmds", "ok", "status", "code", "changed", "reason"), ENDS)
def test_an_exit_code_means_what_its_command_says(cmds, ok, status, code, changed, reason):
    result = World(cmds, ok=ok).run()
    assert (result.status, result.exit_code, result.changed, result.reason) == (status, code, changed, reason)


def test_a_command_that_bash_cannot_parse_has_not_changed_anything():
    result = World(["if true; then echo never"], ok=((0, 2),)).run()
    assert (result.status, result.changed) == (S.FAILED, False)
    assert "syntax error" in result.log_tail
    assert "never\n" not in result.log_tail.replace("$ if true; then echo never\n", "")


def test_a_command_that_bash_can_parse_runs_once():
    result = World(["echo once; exit 2"], ok=((0, 2),)).run()
    assert result.log_tail.count("\nonce\n") == 1


@pytest.mark.parametrize("ending", [Ending.TIMED_OUT, Ending.STOPPED])
def test_a_command_that_was_stopped_is_no_success_whatever_its_code(ending):
    judged = verdict(Outcome(ending, 2, 0, 1, ok=(0, 2), changed=True), "its timeout")
    assert judged.failed
    assert not judged.changed
