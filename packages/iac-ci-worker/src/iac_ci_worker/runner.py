"""Runs an order's commands, one bash after another, into one redacted log."""

from __future__ import annotations

import errno
import math
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from iac_ci_common.limits import SHORT_GRACE_SECONDS
from iac_ci_common.models.commands import SUCCESS
from iac_ci_worker.command_heading import command_heading
from iac_ci_worker.decide import Allowance, Ending, Outcome
from iac_ci_worker.graceful_stop import stop_gracefully, terraform_is_left
from iac_ci_worker.log_writer import LogWriter
from iac_ci_worker.memory import memory_kills
from iac_ci_worker.output_pipe import end_for_one_command, output_pipe
from iac_ci_worker.processes import end_descendants, has_children, kill_sessions, watched_end
from iac_ci_worker.separation import process_arguments
from iac_ci_worker.stop_request import StopRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from iac_ci_common.redaction import Redactor

_DRAIN_SECONDS: Final = 10.0
"""How long output may take to be written once no process is left; longer where the order has more time."""
_NOT_PARSED: Final = 2
"""Exit code of bash for a command that it cannot parse."""
_STOP_SECONDS: Final = 1.0
"""Longest time between a wish to stop and the signal to the commands."""


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands, their folder and environment, and the time that they have.

    ``ok`` are the exit codes that are a success of each command, None if 0 is for every one.
    """

    cmds: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    time: Allowance
    stop: StopRequest = field(default_factory=StopRequest)
    ok: Sequence[tuple[int, ...]] | None = None

    def ok_of(self, number: int) -> tuple[int, ...]:
        """Return the exit codes that are a success of a command, which is named by its index."""
        return self.ok[number] if self.ok is not None else SUCCESS


class Runner(Protocol):
    """Runs commands."""

    def run(self, commands: Commands, log: Path, redactor: Redactor) -> Outcome:
        """Run the commands into a log; return how they ended, with none of their processes left."""
        ...


class BashRunner:
    """Runs each command with ``bash -euo pipefail -c --`` in a session of its own."""

    def __init__(self, *, user: int | None = None) -> None:
        """Run the commands as ``user``, by default as this process's user."""
        self._user = user
        self._bash = shutil.which("bash", path=os.defpath) or "/bin/bash"

    def run(self, commands: Commands, log: Path, redactor: Redactor) -> Outcome:
        """Run the commands until one fails, they reach their time-out, or the worker is stopped."""
        reading, writing = output_pipe(self._user)
        writer = LogWriter(reading, log, redactor)
        writer.start()
        killed_before = memory_kills()
        attempt = _Attempt(commands, time.monotonic())
        try:
            outcome = self._run_all(commands, writing, writer, attempt, redactor)
            outcome = attempt.end(outcome)
        finally:
            end_descendants()
            os.close(writing)
            plans = writer.finish(attempt.drain_seconds())
        return replace(
            outcome,
            plans=plans,
            log_times=writer.times.all(),
            disk_was_full=writer.disk_was_full,
            out_of_memory=memory_kills() > killed_before,
        )

    def _run_all(
        self, commands: Commands, output: int, writer: LogWriter, attempt: _Attempt, redactor: Redactor
    ) -> Outcome:
        code, number = 0, 0
        ok, changed = SUCCESS, False
        for number, command in enumerate(commands.cmds):
            os.write(output, command_heading(command, redactor.text))
            if "\r\n" in command:
                os.write(output, b"[iac-ci] the command has the line ends of Windows; they are converted\n")
            ok = commands.ok_of(number)
            began = time.monotonic()
            # bash ends with 2 if it cannot parse a command, and Terraform if its plan has changes.
            checks = (True, False) if _NOT_PARSED in ok else (False,)
            for only_parses in checks:
                try:
                    process = self._start(commands, commands.cmds[number], output, ("-n",) if only_parses else ())
                except OSError as error:
                    why = _why(error, commands)
                    return Outcome(Ending.EXITED, None, number, len(commands.cmds), not_started=why)
                attempt.sessions.add(process.pid)
                ending = attempt.wait(process, SUCCESS if only_parses else ok)
                if ending is not Ending.EXITED:
                    return attempt.stop(process, ending, number)
                code = process.returncode
                if code != 0:
                    break
            line_end = b"" if writer.is_at_line_end() else b"\n"
            os.write(output, line_end + _ended(code, time.monotonic() - began))
            if only_parses and code != 0:
                return Outcome(Ending.EXITED, code, number, len(commands.cmds), ok=SUCCESS)
            if code not in ok:
                break
            changed = changed or code != 0
        return Outcome(Ending.EXITED, code, number, len(commands.cmds), ok=ok, changed=changed)

    def _start(
        self, commands: Commands, command: str, output: int, options: tuple[str, ...]
    ) -> subprocess.Popen[bytes]:
        """Start bash for one command; raise ``OSError`` if the kernel starts no process."""
        own_end = end_for_one_command(output)
        try:
            return subprocess.Popen(  # noqa: S603 - the order's own command
                [self._bash, *options, "-euo", "pipefail", "-c", "--", command.replace("\r\n", "\n")],
                cwd=commands.folder,
                env=dict(commands.environment),
                stdin=subprocess.DEVNULL,
                stdout=own_end,
                stderr=own_end,
                start_new_session=True,
                **process_arguments(self._user),
            )
        finally:
            os.close(own_end)


class _Attempt:
    """The time of one run of commands; times are of ``time.monotonic``."""

    def __init__(self, commands: Commands, began: float) -> None:
        self._commands = commands
        self._began = began
        self._until = began + commands.time.seconds
        self._last = began + commands.time.last if commands.time.last is not None else math.inf
        self._stopped = False
        self.sessions: set[int] = set()

    def wait(self, process: subprocess.Popen[bytes], ok: tuple[int, ...]) -> Ending:
        """Wait for a command; return soon after its end, its time-out, or a wish to stop.

        ``ok`` are the exit codes that are a success of the command.
        """
        with watched_end(process) as wait:
            while True:
                code = wait(min(_STOP_SECONDS, self._until - time.monotonic()))
                if code is not None:
                    was_stopped = self._commands.stop.explains(code, succeeded=code in ok)
                    return Ending.STOPPED if was_stopped else Ending.EXITED
                if self._commands.stop.reason is not None:
                    return Ending.STOPPED
                if time.monotonic() >= self._until:
                    return Ending.TIMED_OUT

    def stop(self, process: subprocess.Popen[bytes], ending: Ending, number: int) -> Outcome:
        """Ask the commands to end, wait for all of their processes, and kill what is left."""
        self._stopped = self._commands.stop.stopping = True
        asked = time.monotonic()
        ended = self._stop(asked, self._commands.time.grace)
        kill_sessions(self.sessions)
        process.wait()
        return Outcome(
            ending,
            process.returncode,
            number,
            len(self._commands.cmds),
            stopped_after=asked - self._began,
            graced=time.monotonic() - asked,
            killed=not ended,
        )

    def end(self, outcome: Outcome) -> Outcome:
        """Stop what the last command left in the background: a Terraform there has the whole grace."""
        left = terraform_is_left(self.sessions) if not self._stopped and has_children() else None
        if left is not None:
            self._stop(time.monotonic(), self._commands.time.grace if left else SHORT_GRACE_SECONDS)
        return outcome

    def drain_seconds(self) -> float:
        """Return how long the output may take to be written once no process is left."""
        return _DRAIN_SECONDS if self._stopped else max(_DRAIN_SECONDS, self._until - time.monotonic())

    def _stop(self, asked: float, grace: float) -> bool:
        until = min(asked + grace, self._last)
        hastened = False

        def latest() -> float:
            nonlocal until, hastened
            if self._commands.stop.hastened and not hastened:
                hastened = True
                until = min(until, time.monotonic() + SHORT_GRACE_SECONDS)
            return until

        return stop_gracefully(self.sessions, latest, were_asked=self._commands.stop.reached_the_commands())


def _ended(code: int, seconds: float) -> bytes:
    """Return the line of the log after a command."""
    how = f"exit code {code}" if code >= 0 else f"ended by signal {-code}"
    return f"[iac-ci] {how} after {seconds:.1f} s\n".encode()


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
