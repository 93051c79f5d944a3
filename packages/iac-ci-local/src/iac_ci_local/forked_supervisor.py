"""Starts supervisors as forks of one process that has imported what local clouds run. Linux only.

Most of what the start of a local cloud takes is imports. A process that starts one cloud would gain nothing, but tests
start many.
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from iac_ci_local import supervisor
from iac_ci_local.forks import become
from iac_ci_local.functions.fork_server import IMPORTED
from iac_ci_local.ministack import LocalAws, start_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iac_ci_local.ministack import Supervisor

ADDRESS_VARIABLE: Final = "IAC_CI_LOCAL_FORKS"
"""The environment variable with the path of the server's socket."""

_IMPORTED: Final = (
    *IMPORTED,
    "iac_ci_local.codebuild.server",
    "iac_ci_local.gateway",
    "hypercorn.asyncio",
    "hypercorn.protocol.h2",
    "hypercorn.protocol.ws_stream",
)
"""What the processes of a local cloud import, but MiniStack, which reads its environment when it is imported."""


class ForkedSupervisor:
    """A supervisor, with what is used of `subprocess.Popen`."""

    def __init__(self, builds: socket.socket) -> None:
        """Have one forked that passes the listening socket ``builds`` on; raise ``OSError`` where no server answers."""
        their_input, our_input = os.pipe()
        our_output, their_output = os.pipe()
        self.stdin = os.fdopen(our_input, "w", encoding="utf-8")
        self.stdout = os.fdopen(our_output, encoding="utf-8")
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(os.environ.get(ADDRESS_VARIABLE, ""))
                number = str(builds.fileno()).encode()
                socket.send_fds(connection, [number], [their_input, their_output, builds.fileno()])
                self.pid = int(connection.recv(32) or b"0")
            if not self.pid:
                raise ConnectionError("the process that forks supervisors has ended")
            self._process: int | None = os.pidfd_open(self.pid)
        finally:
            os.close(their_input)
            os.close(their_output)

    def wait(self) -> None:
        """Wait until the supervisor has ended."""
        if self._process is not None:
            select.select([self._process], [], [])
            os.close(self._process)
            self._process = None


def fork_clouds() -> None:
    """Fork the supervisor of each local cloud of this process from now on, where a ``server`` answers."""
    LocalAws.start_supervisor = staticmethod(_start)


def _start(builds: socket.socket) -> Supervisor:
    try:
        return ForkedSupervisor(builds)
    except OSError:
        return start_program(builds)


@contextmanager
def server(environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Have a process from which this process and its children can fork supervisors, with more variables if given.

    It is no child of this process: tests of workers count their children. It imports nothing before the first request.
    """
    with tempfile.TemporaryDirectory(prefix="iac-ci-forks-") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(folder, "s"))
        listener.bind(path)
        listener.listen(128)
        command = [sys.executable, "-m", __name__, str(listener.fileno())]
        with subprocess.Popen(  # noqa: S603
            command, env=os.environ | (environment or {}), stdin=subprocess.PIPE, pass_fds=[listener.fileno()]
        ) as starter:
            before = os.environ.get(ADDRESS_VARIABLE)
            os.environ[ADDRESS_VARIABLE] = path
            try:
                yield
            finally:
                os.environ.pop(ADDRESS_VARIABLE)
                if before is not None:
                    os.environ[ADDRESS_VARIABLE] = before
                if starter.stdin is not None:
                    starter.stdin.close()


def main() -> None:
    """Fork a supervisor for each request to the listening socket in the first argument, until standard input ends."""
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # Ctrl-C in a terminal reaches every process: this one ends with the one that started it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            for name in _IMPORTED:
                importlib.import_module(name)
            if os.fork() == 0:
                listener.close()
                _supervise(connection)
            connection.close()


def _supervise(connection: socket.socket) -> None:
    """Be the supervisor for the process at the other end of ``connection``."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        number, descriptors, _, _ = socket.recv_fds(connection, 32, 3)
        their_input, their_output, builds = descriptors
        with connection:
            connection.sendall(str(os.getpid()).encode())
        become(sys.argv, folder="/", environment=dict(os.environ), streams=[their_input, their_output, 2])
        os.close(their_input)
        os.close(their_output)
        supervisor.main({int(number): builds})
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
