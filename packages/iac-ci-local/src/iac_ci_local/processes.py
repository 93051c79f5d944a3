"""Finds and keeps the processes below a process."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36
_THREADS: Final = 17
"""Position in ``/proc/PID/stat`` after the name: field 20 of proc(5)."""


def adopt_orphans() -> None:
    """Become the parent of every orphan below this process, on Linux (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(pid: int) -> list[int]:
    """Return the ids of all processes below ``pid`` that have not ended, the nearest first."""
    parents, ended = _processes()
    children: dict[int, list[int]] = {}
    for child, parent in parents.items():
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    pending = [pid]
    while pending:
        below = children.get(pending.pop(0), [])
        found += below
        pending += below
    return [pid for pid in found if pid not in ended]


def _processes() -> tuple[dict[int, int], set[int]]:
    """Return the parent of each process, and which of them have ended."""
    if sys.platform != "linux":
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)  # noqa: S607
        rows = [line.split() for line in listed.stdout.splitlines()]
        return {int(row[0]): int(row[1]) for row in rows}, {int(row[0]) for row in rows if row[2].startswith("Z")}
    parents: dict[int, int] = {}
    ended: set[int] = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name in parentheses may contain any character, so the fields are counted after its end.
            fields = (entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:  # the process has ended meanwhile
            continue
        parents[int(entry.name)] = int(fields[1])
        # A process whose first thread has ended, and no other, is shown as a zombie too.
        if fields[0] == "Z" and int(fields[_THREADS]) <= 1:
            ended.add(int(entry.name))
    return parents, ended


__all__ = ["adopt_orphans", "descendants"]
