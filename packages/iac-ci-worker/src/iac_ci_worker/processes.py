"""Processes: ours to hide, theirs to end."""

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
    """Keep the commands from reading our environment, and let orphans among them come to us.

    A process that is not dumpable shows its environment and memory to root only (proc(5), prctl(2)); a subreaper
    becomes the parent of every orphan below it, so that a daemon cannot slip away. Where the kernel has neither
    (another system than Linux) nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None, use_errno=True)
        library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        library.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> list[int]:
    """Find every process below this one."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The name in parentheses may hold anything, so the fields are counted from behind it.
                fields = (entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    todo = [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def end_group(group: int, kind: signal.Signals) -> None:
    """Send a signal to a process group; one that is gone is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, kind)


def end_descendants() -> None:
    """Kill every process below this one, also those that left their group or session, and collect them."""
    # Whoever forks faster than we look is found on the next round; a round that finds nobody ends it.
    while alive := [pid for pid in descendants() if not _collected(pid)]:
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in alive:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _collected(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        # Somebody else's child below us: not ours to collect, but ours to kill, unless it is dead already.
        with contextlib.suppress(OSError, IndexError):
            stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
            return stat.rpartition(")")[2].split()[0] == "Z"
        return True
