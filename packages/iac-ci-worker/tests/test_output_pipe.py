"""The pipe that commands print into is open to their own user, and as one command leaves it, no other finds it."""

from __future__ import annotations

import os
import stat
import sys

import pytest

from iac_ci_common.redaction import Redactor
from iac_ci_worker.decide import Allowance
from iac_ci_worker.output_pipe import output_pipe
from iac_ci_worker.runner import BashRunner, Commands

USER = 10001


def printed(commands, folder, *, user=None):
    """Run commands in a folder as a user; return the lines that they printed, after they succeeded."""
    log = folder / "log"
    time = Allowance(seconds=60, limit="", grace=10)
    environment = {"PATH": os.environ["PATH"]}
    outcome = BashRunner(user=user).run(Commands(commands, folder, environment, time), log, Redactor([]))
    assert outcome.exit_code == 0, log.read_text()
    return [line for line in log.read_text().splitlines() if not line.startswith(("$ ", "> ", "[iac-ci] "))]


NAMES = [
    "echo one > /dev/stderr",
    "echo one > /dev/stdout",
    "echo one > /proc/self/fd/2",
    "echo one | tee -a /dev/stderr",
]


@pytest.mark.parametrize("command", NAMES)
@pytest.mark.parametrize(
    "user",
    [None, pytest.param(USER, marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root changes the user"))],
)
def test_output_has_the_names_that_scripts_use(command, user, tmp_path):
    assert set(printed([command], tmp_path, user=user)) == {"one"}


def test_another_user_may_write_and_not_read():
    reading, writing = output_pipe(os.getegid())
    try:
        about = os.fstat(writing)
        assert (about.st_uid, about.st_gid, stat.S_IMODE(about.st_mode)) == (os.geteuid(), os.getegid(), 0o620)
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.skipif(sys.platform != "linux", reason="an end is opened by itself through /proc")
def test_a_program_that_does_not_wait_for_room_changes_no_other_command(tmp_path):
    """Node.js sets ``O_NONBLOCK`` on its standard output and leaves it so."""
    sets = f"{sys.executable} -c 'import os; os.set_blocking(1, False); print(os.get_blocking(1))'"
    asks = f"{sys.executable} -c 'import os; print(os.get_blocking(1), os.get_blocking(2))'"
    assert printed([sets, asks], tmp_path) == ["False", "True True"]
