"""Starts the processes of functions as forks of one process that has imported what they import.

Runs inside MiniStack's process, which starts a Python of its own for each new environment of a function. Nearly all the
time of such a start is that of imports and of reading the models of AWS services. `multiprocessing`'s fork server does
both once for a local cloud. Each function still has a process of its own, with its own environment, folder and streams,
and builds its own parts.

On Linux only: elsewhere, libraries of the system may not survive a fork. Nor where the folder of temporary files has so
long a path that the server's socket has no room for it: functions then start as without this module.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import runpy
import subprocess
import sys
from multiprocessing import forkserver, util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from iac_ci_local.forks import become, close_all_but

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from multiprocessing.connection import Connection

IMPORTED: Final = (
    "boto3",
    "botocore.handlers",
    *(f"iac_ci_{name}.wiring" for name in ("broker", "init", "orchestrator", "page", "watchdog", "worker")),
    "iac_ci_init.routing",
    "iac_ci_init.tasks",
    "iac_ci_local.functions.preloaded_models",
)
"""What the fork server imports. No handler, because a handler builds its parts from its function's environment."""

_LONGEST_ADDRESS: Final = 107
"""Most bytes in the path of a Unix socket (unix(7): 108 with the final null byte)."""

_SOCKET: Final = "listener-XXXXXXXX"
"""A name as long as `multiprocessing` gives a socket in its folder of temporary files."""

_SCRIPT: Final = "_worker.py"
"""The name of the script that MiniStack writes for an environment of a Python function."""


class Fork:
    """A process that runs a Python script, with what MiniStack uses of `subprocess.Popen`."""

    def __init__(self, script: str, *, cwd: str, env: Mapping[str, str]) -> None:
        """Start the process; the arguments are those of `Popen`."""
        context = multiprocessing.get_context("forkserver")
        their_input, our_input = context.Pipe(duplex=False)
        our_output, their_output = context.Pipe(duplex=False)
        our_errors, their_errors = context.Pipe(duplex=False)
        streams = (their_input, their_output, their_errors)
        self._process = context.Process(target=_run, args=(script, cwd, dict(env), streams), daemon=True)
        self._process.start()
        for stream in streams:
            stream.close()
        self.stdin = _opened(our_input, "w")
        self.stdout = _opened(our_output, "r")
        self.stderr = _opened(our_errors, "r")

    def poll(self) -> int | None:
        """Return the exit code; None while the process runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code when the process has ended; raise `subprocess.TimeoutExpired` after the time-out."""
        self._process.join(timeout)
        if (code := self._process.exitcode) is None:
            raise subprocess.TimeoutExpired(_SCRIPT, timeout or 0.0)
        return code

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()


class _Subprocess:
    """The module `subprocess`, whose `Popen` forks for functions."""

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    @staticmethod
    def Popen(command: list[str], **options: Any) -> Any:  # noqa: N802 - the name in subprocess
        if command[0] == sys.executable and Path(command[-1]).name == _SCRIPT:
            return Fork(command[-1], cwd=options["cwd"], env=options["env"])
        return subprocess.Popen(command, **options)  # noqa: S603


def fork_functions(*, without: str) -> bool:
    """Start the fork server and let MiniStack start functions as forks of it; return False where there can be none.

    The server's environment has all but the variable ``without``: /proc shows it as that of each fork.
    """
    if sys.platform != "linux" or len(os.fsencode(Path(util.get_temp_dir(), _SOCKET))) > _LONGEST_ADDRESS:
        return False
    multiprocessing.set_forkserver_preload(list(IMPORTED))
    replaceable: Any = util
    start_program = util.spawnv_passfds
    hidden = os.environ.pop(without)
    try:
        if all(name in sys.modules for name in IMPORTED):
            # This process is a fork itself (`forked_supervisor`): another program would import all that again.
            replaceable.spawnv_passfds = _fork_program
        forkserver.ensure_running()
    finally:
        replaceable.spawnv_passfds = start_program
        os.environ[without] = hidden
    runtime: Any = importlib.import_module("ministack.core.lambda_runtime")
    runtime.subprocess = _Subprocess()
    return True


def _fork_program(_: object, arguments: Sequence[Any], descriptors: Sequence[int]) -> int:
    """Run the program of the fork server, the last argument, in a fork of this process."""
    if pid := os.fork():
        return pid
    try:
        close_all_but(descriptors)
        exec(arguments[-1], {})  # noqa: S102 - the program of `multiprocessing`
    finally:
        os._exit(1)


def _run(script: str, folder: str, environment: Mapping[str, str], streams: tuple[Connection, ...]) -> None:
    """Run a script as a Python of its own would, in the process that was forked."""
    become([script], folder=folder, environment=environment, streams=[stream.fileno() for stream in streams])
    for stream in streams:
        stream.close()
    sys.path[0] = str(Path(script).parent)
    runpy.run_path(script, run_name="__main__")


def _opened(connection: Connection, mode: str) -> Any:
    """Return a text stream, buffered by lines, of one end of a pipe."""
    with connection:
        return os.fdopen(os.dup(connection.fileno()), mode, buffering=1)
