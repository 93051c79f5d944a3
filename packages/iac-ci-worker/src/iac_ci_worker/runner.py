"""Runs an order's commands, one bash after another, into one redacted log."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from iac_ci_common.errors import PortFailed
from iac_ci_common.limits import KILL_GRACE_SECONDS
from iac_ci_worker.decide import Ending, Outcome
from iac_ci_worker.log_writer import LogWriter
from iac_ci_worker.processes import end_descendants, end_group
from iac_ci_worker.separation import process_arguments
from iac_ci_worker.stop_request import StopRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from iac_ci_common.redaction import Redactor

_MAX_SHOWN_COMMAND_BYTES: Final = 32 * 1024
_DRAIN_SECONDS: Final = 20.0
"""How long output may take to be written once no process is left; longer where the order has more time."""
_STOP_SECONDS: Final = 1.0
"""Longest time between a wish to stop and the signal to the commands."""


class Stopped(BaseException):
    """The worker was stopped. It is not an ``Exception``, so that no handler treats it as a failure."""


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands, their folder and environment, and the most seconds that they may take."""

    cmds: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    seconds: float
    stop: StopRequest = field(default_factory=StopRequest)


class Runner(Protocol):
    """Runs commands."""

    def run(self, commands: Commands, log: Path, redactor: Redactor) -> Outcome:
        """Run the commands into a log; return how they ended, with none of their processes left."""
        ...


class BashRunner:
    """Runs each command with ``bash -euo pipefail -c`` in a process group of its own."""

    def __init__(self, *, grace_seconds: float = KILL_GRACE_SECONDS, user: int | None = None) -> None:
        """Wait ``grace_seconds`` between SIGTERM and SIGKILL. Run the commands as ``user``, by default as this one."""
        self._grace = grace_seconds
        self._as_user = process_arguments(user)
        self._bash = shutil.which("bash", path=os.defpath) or "/bin/bash"

    def run(self, commands: Commands, log: Path, redactor: Redactor) -> Outcome:
        """Run the commands until one fails, they reach their time-out, or the worker is stopped."""
        reading, writing = os.pipe()
        writer = LogWriter(reading, log, redactor)
        writer.start()
        until = time.monotonic() + commands.seconds
        try:
            outcome = self._run_all(commands, writing, until)
        finally:
            end_descendants()
            os.close(writing)
            plans = writer.finish(max(_DRAIN_SECONDS, until - time.monotonic()))
        return replace(outcome, plans=plans)

    def _run_all(self, commands: Commands, output: int, until: float) -> Outcome:
        code = 0
        number = 0
        for number, command in enumerate(commands.cmds):
            os.write(output, f"$ {command}\n".encode("utf-8", "surrogateescape")[:_MAX_SHOWN_COMMAND_BYTES])
            try:
                process = self._start(commands, command, output)
            except OSError as error:
                raise PortFailed(
                    f"command {number + 1} of {len(commands.cmds)} could not be started: {_why(error, commands)}"
                ) from error
            try:
                code = _wait(process, until, commands.stop)
            except subprocess.TimeoutExpired:
                self._end(process)
                return Outcome(Ending.TIMED_OUT, process.returncode, number, len(commands.cmds))
            except Stopped:
                self._end(process)
                return Outcome(Ending.STOPPED, process.returncode, number, len(commands.cmds))
            if code != 0:
                break
        return Outcome(Ending.EXITED, code, number, len(commands.cmds))

    def _start(self, commands: Commands, command: str, output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - the order's own command
            [self._bash, "-euo", "pipefail", "-c", command],
            cwd=commands.folder,
            env=dict(commands.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **self._as_user,
        )

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Stop the process group with SIGTERM and, after the grace, with SIGKILL."""
        end_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired, Stopped):
            process.wait(self._grace)
        end_group(process.pid, signal.SIGKILL)
        process.wait()


def _why(error: OSError, commands: Commands) -> str:
    """Return why the kernel started no command, in plain words."""
    if error.errno == errno.E2BIG:
        size = sum(len(os.fsencode(f"{name}={value}")) + 1 for name, value in commands.environment.items())
        return (
            f"its variables and secrets have {size} bytes together, or one of them has more than the kernel allows for"
            " a program (execve(2)); use fewer or shorter ones"
        )
    if isinstance(error, FileNotFoundError | NotADirectoryError) and not commands.folder.is_dir():
        return "its folder does not exist any more; an earlier command removed it"
    return os.strerror(error.errno or 0)


def _wait(process: subprocess.Popen[bytes], until: float, stop: StopRequest) -> int:
    """Return the exit code of a command; raise ``TimeoutExpired``, or ``Stopped`` soon after a wish to stop."""
    while True:
        try:
            return process.wait(max(0.0, min(_STOP_SECONDS, until - time.monotonic())))
        except subprocess.TimeoutExpired:
            if stop.reason is not None:
                raise Stopped from None
            if time.monotonic() >= until:
                raise
