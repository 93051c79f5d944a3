"""Runs an order's commands, one bash after another, into one redacted log."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from iac_ci_common.limits import KILL_GRACE_SECONDS
from iac_ci_worker.decide import Ending, Outcome
from iac_ci_worker.processes import end_descendants, end_group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from iac_ci_common.redaction import Redactor

MAX_LOG_BYTES: Final = 512 * 1024 * 1024
"""Most bytes of the log that are stored; the commands may print more."""

_CHUNK: Final = 64 * 1024
_DRAIN_SECONDS: Final = 5.0


class Stopped(BaseException):
    """The worker was stopped. It is not an ``Exception``, so that no handler treats it as a failure."""


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands, their folder and environment, and the most seconds that they may take."""

    cmds: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    seconds: float


class Runner(Protocol):
    """Runs commands."""

    def run(self, commands: Commands, log: Path, redactor: Redactor) -> Outcome:
        """Run the commands into a log; return how they ended, with none of their processes left."""
        ...


class BashRunner:
    """Runs each command with ``bash -euo pipefail -c`` in a process group of its own."""

    def __init__(self, *, grace_seconds: float = KILL_GRACE_SECONDS) -> None:
        """Wait ``grace_seconds`` between SIGTERM and SIGKILL."""
        self._grace = grace_seconds
        self._bash = shutil.which("bash", path=os.defpath) or "/bin/bash"

    def run(self, commands: Commands, log: Path, redactor: Redactor) -> Outcome:
        """Run the commands until one fails, they reach their time-out, or the worker is stopped."""
        reading, writing = os.pipe()
        writer = _LogWriter(reading, log, redactor)
        writer.start()
        try:
            return self._run_all(commands, writing)
        finally:
            end_descendants()
            os.close(writing)
            writer.join(_DRAIN_SECONDS)

    def _run_all(self, commands: Commands, output: int) -> Outcome:
        until = time.monotonic() + commands.seconds
        code = 0
        number = 0
        for number, command in enumerate(commands.cmds):
            os.write(output, f"$ {command}\n".encode("utf-8", "surrogateescape")[: _CHUNK // 2])
            process = subprocess.Popen(  # noqa: S603 - the order's own command
                [self._bash, "-euo", "pipefail", "-c", command],
                cwd=commands.folder,
                env=dict(commands.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                code = process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._end(process)
                return Outcome(Ending.TIMED_OUT, process.returncode, number, len(commands.cmds))
            except Stopped:
                self._end(process)
                return Outcome(Ending.STOPPED, process.returncode, number, len(commands.cmds))
            if code != 0:
                break
        return Outcome(Ending.EXITED, code, number, len(commands.cmds))

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Stop the process group with SIGTERM and, after the grace, with SIGKILL."""
        end_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired, Stopped):
            process.wait(self._grace)
        end_group(process.pid, signal.SIGKILL)
        process.wait()


class _LogWriter(threading.Thread):
    """Reads the commands' output, redacts it and writes it to the log, in chunks."""

    def __init__(self, reading: int, log: Path, redactor: Redactor) -> None:
        super().__init__(name="log", daemon=True)
        self._reading = reading
        self._log = log
        self._redactor = redactor
        self._written = 0

    def run(self) -> None:
        descriptor = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab", buffering=0) as file, os.fdopen(self._reading, "rb", buffering=0) as source:
            while chunk := source.read(_CHUNK):
                self._write(file.write, self._redactor.feed(chunk))
            self._write(file.write, self._redactor.finish())

    def _write(self, write: object, data: bytes) -> None:
        room = MAX_LOG_BYTES - self._written
        if room <= 0 or not data:
            return
        if len(data) > room:
            data = (
                data[:room]
                + f"\n[iac-ci] the log has more than {MAX_LOG_BYTES} bytes; the rest is not stored\n".encode()
            )
        self._written += len(data)
        write(data)  # type: ignore[operator]
