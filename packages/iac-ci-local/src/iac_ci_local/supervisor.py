"""Supervises the processes of a local cloud and ends them all when the process that started the cloud ends.

Runs as a script, with the standard library only, or in a fork (`forked_supervisor`). It reads one line of JSON with the
processes to start from its standard input and reports on its standard output. When its standard input ends, because the
parent closed it or died, or on SIGTERM, it ends every descendant and removes the cloud's folder.

On Linux it is the subreaper of its descendants (prctl(2), PR_SET_CHILD_SUBREAPER), so that it also finds processes that
left their session or lost their parent. Elsewhere (macOS) it ends the process groups of the processes that it started.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LINUX = sys.platform == "linux"
_END_SECONDS = 60.0


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end_with_supervisor() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _report(**fields: object) -> None:
    # The parent may be gone already.
    with contextlib.suppress(OSError):
        os.write(1, (json.dumps(fields) + "\n").encode())


class _Forked(NamedTuple):
    """A process that runs a module which the supervisor's process has imported."""

    pid: int


_Child = subprocess.Popen[bytes] | _Forked


def _start(child: dict[str, Any], received: Mapping[int, int]) -> _Child:
    descriptor = os.open(child["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as log:
        interpreter, option, name, *_ = child["command"]
        if (interpreter, option) == (sys.executable, "-m") and name in sys.modules:
            return _fork(child, log.fileno(), received)
        return subprocess.Popen(  # noqa: S603
            child["command"],
            env=child["environment"],
            cwd=child["folder"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=child.get("descriptors", ()),
            start_new_session=True,
            preexec_fn=_end_with_supervisor if _LINUX else None,  # noqa: PLW1509
        )


def _fork(child: dict[str, Any], log: int, received: Mapping[int, int]) -> _Forked:
    if pid := os.fork():
        return _Forked(pid)
    # Only where there are forks is the package at hand.
    from iac_ci_local.forks import become, close_all_but

    code = 1
    try:
        _end_with_supervisor()
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _, _, name, *arguments = child["command"]
        streams = [os.open(os.devnull, os.O_RDONLY), log, log]
        become([name, *arguments], folder=child["folder"], environment=child["environment"], streams=streams)
        descriptors = child.get("descriptors", ())
        for number in descriptors:
            os.dup2(received[number], number)
        close_all_but(descriptors)
        sys.modules[name].main()
        code = 0
    except BaseException:  # noqa: BLE001 - as a program of its own would end
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _descendants() -> set[int]:
    """Return the processes below this one, also zombies: one may have live threads and children."""
    parents: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        # The process may have ended meanwhile.
        with contextlib.suppress(OSError, ValueError):
            fields = Path(entry.path, "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            parents[int(entry.name)] = int(fields[1])
    below = {os.getpid()}
    while True:
        found = {pid for pid, parent in parents.items() if parent in below} - below
        if not found:
            return below - {os.getpid()}
        below |= found


def _end_all(children: list[_Child]) -> None:
    until = time.monotonic() + _END_SECONDS
    while time.monotonic() < until:
        if _LINUX:
            for pid in _descendants():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        else:
            for child in children:
                if not isinstance(child, _Forked) and child.poll() is None:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(child.pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:  # without a child, a subreaper has no descendant either
            return
        time.sleep(0.01)


def _reap(children: list[_Child], reported: set[int]) -> None:
    """Reap adopted orphans; report an ended child once, and keep it unreaped so that its pid is not reused."""
    own = {child.pid: index for index, child in enumerate(children)}
    with contextlib.suppress(ChildProcessError):
        while info := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if info.si_pid in own:
                if info.si_pid not in reported:
                    reported.add(info.si_pid)
                    _report(ended=own[info.si_pid])
                return
            os.waitpid(info.si_pid, os.WNOHANG)


def main(received: Mapping[int, int] | None = None) -> None:
    """Start the processes that the parent requests, wait until the parent ends, then end them all.

    ``received`` says which descriptor is the one that a number in the request means, where they differ.
    """
    if _LINUX:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    request = json.loads(sys.stdin.readline())
    children: list[_Child] = []
    reported: set[int] = set()

    def stop(*_: object) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _end_all(children)
        # Unlike shutil.rmtree it does not recurse, however deep an order nested its folders.
        with contextlib.suppress(OSError):
            subprocess.run(["rm", "-rf", "--", request["folder"]], stderr=subprocess.DEVNULL, check=False)  # noqa: S603, S607
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        children.extend(_start(child, received or {}) for child in request["children"])
        signal.signal(signal.SIGCHLD, lambda *_: _reap(children, reported))
        _reap(children, reported)
        _report(started=[child.pid for child in children])
        while sys.stdin.read(1024):
            pass
    finally:
        stop()


if __name__ == "__main__":
    main()
