"""Protects the worker's process and ends the commands' processes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path
from typing import Final

_PR_SET_DUMPABLE: Final = 4
_PR_SET_CHILD_SUBREAPER: Final = 36


def shield() -> None:
    """Hide this process's environment from the commands, and become the parent of their orphans.

    A process that is not dumpable shows its environment and memory to root only (proc(5), prctl(2)); a subreaper
    becomes the parent of every orphan below it, so that a daemon cannot survive the order. On other systems than Linux
    this function does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None, use_errno=True)
        library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        library.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> list[int]:
    """Return the ids of all processes below this one."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The name in parentheses may contain any character, so the fields are counted after its end.
                fields = (entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    pending = [os.getpid()]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found


def end_group(group: int, kind: signal.Signals) -> None:
    """Send a signal to a process group; a group that does not exist any more is not an error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, kind)


def end_descendants() -> None:
    """Kill and reap every process below this one, also those that left their group or session."""
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
