"""Keeps one sandbox: makes its file system, runs the handler's process in it, and ends or stops processes.

Runs as a module: as the first process of its namespaces where it may, otherwise as the
subreaper of its descendants. It reads its plan from standard input and serves calls on a socket, one at a time.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from iac_ci_local.functions import file_system

_PR_SET_CHILD_SUBREAPER = 36
_USER, _GROUP = 993, 990
_LIMIT = 1024
_LOOK_SECONDS = 0.05


class Keeper:
    """One sandbox and the process of its handler."""

    def __init__(self, plan: dict[str, Any]) -> None:
        """Prepare; start no process yet."""
        self.plan = plan
        plan["environment"]["AWS_LAMBDA_RUNTIME_API"] = "127.0.0.1:9001"
        self.runtime: subprocess.Popen[bytes] | None = None
        self.channel: socket.socket | None = None
        self.lines: Any = None

    def serve(self) -> None:
        """Answer calls until the process is killed."""
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        os.chdir(self.plan["folder"])
        server.bind("keeper")
        server.listen()
        if self.plan["isolated"]:
            file_system.enter(self.plan["needed"], self.plan["storage_mb"], _USER, _GROUP)
        else:
            Path("tmp").mkdir(exist_ok=True)
            self.plan["environment"]["IAC_CI_CLEAN_BELOW"] = str(os.getpid())
            self.plan["environment"]["TMPDIR"] = str(Path(self.plan["folder"], "tmp"))
        while True:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                if line := connection.makefile("rb").readline():
                    answer = self.call(json.loads(line), connection)
                    connection.sendall(json.dumps(answer).encode() + b"\n")
            self.reap()

    def call(self, request: dict[str, Any], connection: socket.socket) -> dict[str, Any]:
        """Run one call; the processes of the sandbox go on for its time."""
        self.signal_all(signal.SIGCONT)
        try:
            self.start()
            return self.answer(request, connection)
        except (OSError, ValueError) as error:
            self.kill()
            return {"error": f"Runtime exited: {error}"}
        finally:
            self.signal_all(signal.SIGSTOP)

    def answer(self, request: dict[str, Any], connection: socket.socket) -> dict[str, Any]:
        """Pass the call on and wait for its answer, its deadline, too much memory, or the end of the caller."""
        if self.channel is None or self.runtime is None:
            return {"error": "Runtime did not start"}
        self.channel.sendall(json.dumps(request).encode() + b"\n")
        while True:
            ready, _, _ = select.select([self.channel, connection], [], [], _LOOK_SECONDS)
            if self.channel in ready:
                line = self.lines.readline()
                if line:
                    answer: dict[str, Any] = json.loads(line)
                    return answer
                code = self.runtime.wait()
                self.kill()
                how = f"signal: {signal.strsignal(-code) or -code}" if code < 0 else f"exit status {code}"
                return {"error": f"Runtime exited with error: {how}".replace("Killed", "killed")}
            if connection in ready:  # the caller was killed
                self.kill()
                return {"error": "the call was ended"}
            if time.time() >= request["deadline"]:
                self.kill()
                return {"error": f"Task timed out after {request['seconds']:.2f} seconds"}
            if self.uses_too_much_memory():
                self.kill()
                return {"error": "Runtime exited with error: signal: killed"}

    def start(self) -> None:
        """Start the handler's process unless it runs."""
        if self.runtime is not None and self.runtime.poll() is None:
            return
        self.kill()
        ours, theirs = socket.socketpair()
        isolated: dict[str, Any] = {"user": _USER, "group": _GROUP, "extra_groups": []} if self.plan["isolated"] else {}
        self.runtime = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "iac_ci_local.functions.runtime", str(theirs.fileno()), self.plan["function"]],
            env=self.plan["environment"],
            cwd="/",
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            umask=0o022,
            preexec_fn=limit,  # noqa: PLW1509 - this process has one thread
            **isolated,
        )
        theirs.close()
        self.channel, self.lines = ours, ours.makefile("rb")

    def kill(self) -> None:
        """Kill the handler's process, and nothing that it started."""
        if self.runtime is not None:
            with contextlib.suppress(ProcessLookupError):
                self.runtime.kill()
            self.runtime.wait()
        if self.channel is not None:
            self.lines.close()
            self.channel.close()
        self.runtime = self.channel = self.lines = None

    def others(self) -> list[int]:
        """Return the processes of the sandbox."""
        own = os.getpid()
        if self.plan["isolated"]:
            names = [entry.name for entry in Path("/proc").iterdir()]
            return [int(name) for name in names if name.isdigit() and int(name) != own]
        found, pending = [], [own]
        while pending:
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{pending.pop()}/task").iterdir()
                below = [int(pid) for task in text for pid in (task / "children").read_text("ascii").split()]
                found += below
                pending += below
        return found

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to every process of the sandbox."""
        for pid in self.others():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def uses_too_much_memory(self) -> bool:
        """Return whether all processes together use more memory than the function has, each shared page once."""
        pids, limit_mb = self.others(), self.plan["memory_mb"]
        # With shared pages counted for each process, which is at least as much and takes the kernel no time.
        if sum(map(resident_mb, pids)) <= limit_mb:
            return False
        total = 0
        for pid in pids:
            with contextlib.suppress(OSError, ValueError, IndexError):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
                total += int(rollup.split("\nPss:")[1].split()[0])
        return bool(total / 1024 > limit_mb)

    def reap(self) -> None:
        """Collect orphans that have ended."""
        with contextlib.suppress(ChildProcessError):
            while True:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if found is None or (self.runtime is not None and found.si_pid == self.runtime.pid):
                    return
                os.waitpid(found.si_pid, 0)


def resident_mb(pid: int) -> float:
    """Return the memory of a process; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * resource.getpagesize() / 2**20
    except (OSError, ValueError, IndexError):
        return 0.0


def limit() -> None:
    """Set the limits of a Lambda sandbox."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_LIMIT, _LIMIT))
    resource.setrlimit(resource.RLIMIT_NPROC, (_LIMIT, _LIMIT))


def main() -> None:
    """Serve the sandbox that the plan describes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Keeper(json.loads(sys.stdin.readline())).serve()


if __name__ == "__main__":
    main()
