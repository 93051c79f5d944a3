"""Protects the worker's process and ends the commands' processes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_PR_SET_DUMPABLE: Final = 4
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38


def shield() -> None:
    """Hide this process's environment from the commands, give them no more rights, and become their orphans' parent.

    A process that is not dumpable shows its environment and memory to root only (proc(5), prctl(2)). A subreaper
    becomes the parent of every orphan below it, so that a daemon cannot survive the order. With ``no_new_privs`` no
    program gains rights when it starts, here and in every process below. On other systems than Linux this function
    does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None, use_errno=True)
        library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    adopt_orphans()


def adopt_orphans() -> None:
    """Become the parent of every orphan below this process (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def processes() -> dict[int, int]:
    """Return the parent of each process."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The name in parentheses may contain any character, so the fields are counted after its end.
                fields = (entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    return parents


def ancestors() -> list[int]:
    """Return the ids of the processes above this one, the nearest first."""
    parents = processes()
    found: list[int] = []
    pid = parents.get(os.getpid(), 0)
    while pid and pid not in found:
        found.append(pid)
        pid = parents.get(pid, 0)
    return found


def descendants(root: int | None = None) -> list[int]:
    """Return the ids of all processes below ``root``, by default below this process."""
    children: dict[int, list[int]] = {}
    for pid, parent in processes().items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    pending = [os.getpid() if root is None else root]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found


@contextlib.contextmanager
def watched_end(process: subprocess.Popen[bytes]) -> Iterator[Callable[[float], int | None]]:
    """Yield a function that waits for a child's end, at most so many seconds, and returns its code; None if it runs.

    Where the kernel has descriptors of processes (pidfd_open(2)), it returns at once when the child ends. Elsewhere
    Python looks up to twenty times a second.
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        yield partial(_waited, process)
        return
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)

    def wait(seconds: float) -> int | None:
        return process.wait() if poll.poll(max(0.0, seconds) * 1000) else None

    try:
        yield wait
    finally:
        os.close(descriptor)


def _waited(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(max(0.0, seconds))
    except subprocess.TimeoutExpired:
        return None


def kill_sessions(sessions: Iterable[int]) -> None:
    """Kill the process group of each session; one that does not exist any more is not an error."""
    for session in sessions:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(session, signal.SIGKILL)


def has_children() -> bool:
    """Return whether this process has a child, also one that has ended and was not waited for.

    Without one it has no descendants either, if it adopts orphans: ``/proc`` need not be searched.
    """
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def end_descendants() -> None:
    """Kill and reap every process below this one, also those that left their group or session."""
    if not has_children():
        return
    # A process that forks during a round is found in the next one; the loop ends with a round that finds none.
    while alive := [pid for pid in descendants() if not _reaped(pid)]:
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in alive:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        # A child of another process below this one: it cannot be reaped here, but it is killed unless it is dead.
        with contextlib.suppress(OSError, IndexError):
            stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
            return stat.rpartition(")")[2].split()[0] == "Z"
        return True
