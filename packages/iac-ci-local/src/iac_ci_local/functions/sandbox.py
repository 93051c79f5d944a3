"""Runs a function in a sandbox that is as unkind as Lambda's, for as long as the local cloud lives.

MiniStack starts a function as a plain process. In its place this module runs the handler as an unprivileged process
below a keeper (``keeper.py``), which outlives calls, crashes and time-outs, as an execution environment of AWS does
(AWS Lambda Developer Guide, "Lambda execution environment"):

- one user, 993, without capabilities; ``HOME`` is missing; 1,024 descriptors, 1,024 processes;
- the file system is read-only outside ``/tmp``, which has the function's size and **survives a killed call**;
- ``/dev`` holds ``null``, ``zero``, ``full``, ``random`` and ``urandom``: no ``fd``, no ``shm``;
- the call ends at its deadline, and when the processes together use more than the function's memory: the process of the
  handler gets SIGKILL, and what it started lives on;
- processes that a call leaves behind stop with it and go on at the next call.

The user, the file system and ``/dev`` need root on Linux; ``missing()`` returns what this machine cannot do.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

NAMESPACES: Final = ("--mount", "--pid", "--ipc", "--fork", "--kill-child", "--propagation", "private")
_START_SECONDS: Final = 60.0


class CallFailed(Exception):
    """A call that ended with an error; the text is the one that Lambda reports."""


def missing() -> list[str]:
    """Return what the sandboxes of this machine lack; empty where they have everything."""
    if sys.platform == "linux" and os.geteuid() == 0 and shutil.which("unshare") is not None:
        tried = subprocess.run(["unshare", *NAMESPACES, "true"], capture_output=True, check=False)  # noqa: S603, S607
        if tried.returncode == 0:
            return []
    return ["a user of their own", "a read-only file system", "a bare /dev", "a /tmp of the function's size"]


def handler(function: str, *, storage_mb: int) -> Callable[[Any, Any], Any]:
    """Return a Lambda handler that runs the handler ``function`` (``module.name``) in a sandbox."""
    sandbox: list[Sandbox] = []

    def call(event: Any, context: Any) -> Any:
        if sandbox and not sandbox[0].answers():
            # The keeper was killed; AWS replaces a sandbox that ended.
            sandbox.pop().release()
        if not sandbox:
            sandbox.append(Sandbox.acquire(function, context.function_name, context.memory_limit_in_mb, storage_mb))
        remaining = context.get_remaining_time_in_millis() / 1000
        return sandbox[0].call(event, context.aws_request_id, context.invoked_function_arn, remaining)

    return call


@dataclass(slots=True)
class Sandbox:
    """One sandbox; while this process lives, no other uses it."""

    folder: Path
    lock: int

    @classmethod
    def acquire(cls, function: str, name: str, memory_mb: int, storage_mb: int) -> Sandbox:
        """Return a sandbox that no process uses, a new one if there is none."""
        pool = Path(os.environ["TMPDIR"]) / "sandboxes" / name
        pool.mkdir(parents=True, exist_ok=True)
        number = 0
        while True:
            folder = pool / str(number)
            folder.mkdir(exist_ok=True)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                number += 1
                continue
            sandbox = cls(folder, lock)
            if not sandbox.answers():
                sandbox._start(function, memory_mb, storage_mb)
            return sandbox

    def call(self, event: Any, request_id: str, arn: str, seconds: float) -> Any:
        """Run the handler and return its answer; raise ``CallFailed`` if it raises, ends, or is killed."""
        with self._connect() as connection:
            request = {"event": event, "request_id": request_id, "arn": arn}
            request |= {"seconds": seconds, "deadline": time.time() + seconds}
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline()
        if not line:
            raise CallFailed("the sandbox ended")
        answer = json.loads(line)
        if "error" in answer:
            raise CallFailed(answer["error"])
        return answer["result"]

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # A path of a socket has at most 107 characters, so it is given relative to an open folder.
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            connection.connect(
                f"/proc/self/fd/{descriptor}/keeper" if sys.platform == "linux" else f"{self.folder}/keeper"
            )
        finally:
            os.close(descriptor)
        return connection

    def release(self) -> None:
        """Let another process use the folder of this sandbox."""
        os.close(self.lock)

    def answers(self) -> bool:
        """Return whether the keeper of this sandbox lives."""
        try:
            self._connect().close()
        except OSError:
            return False
        return True

    def _start(self, function: str, memory_mb: int, storage_mb: int) -> None:
        """Start the keeper; it belongs to the cloud, so it outlives this process."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "keeper").unlink()
        isolated = not missing()
        cloud = os.environ.get("LAMBDA_TASK_ROOT", "/var/task")  # MiniStack's copy of the function is of no use
        plan = {
            "folder": str(self.folder),
            "function": function,
            "memory_mb": memory_mb,
            "storage_mb": storage_mb,
            "isolated": isolated,
            "environment": {key: value for key, value in os.environ.items() if key not in {"HOME", "TMPDIR", "USER"}},
            "needed": [sys.base_prefix, sys.prefix, *(path for path in sys.path if not path.startswith(cloud))],
        }
        with (self.folder / "output").open("ab") as output:
            process = subprocess.Popen(  # noqa: S603
                [
                    *(["unshare", *NAMESPACES] if isolated else []),
                    sys.executable,
                    "-m",
                    "iac_ci_local.functions.keeper",
                ],
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        if process.stdin is not None:
            with process.stdin:
                process.stdin.write(json.dumps(plan).encode() + b"\n")
        until = time.monotonic() + _START_SECONDS
        while not self.answers():
            if process.poll() is not None or time.monotonic() > until:
                raise CallFailed(
                    f"the sandbox did not start: {(self.folder / 'output').read_text('utf-8', 'replace')[-2000:]}"
                )
            time.sleep(0.01)


__all__ = ["NAMESPACES", "CallFailed", "Sandbox", "handler", "missing"]
