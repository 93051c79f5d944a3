"""Reads what ``/proc`` shows of the processes that an order has started."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

Pipe = tuple[int, int]
"""A pipe, by the device and the number of its file."""

_STATE, _PARENT, _SESSION, _STARTED = 0, 1, 3, 19
"""Positions in ``/proc/PID/stat`` after the name: fields 3, 4, 6 and 22 of proc(5)."""


@dataclass(frozen=True, slots=True)
class Process:
    """A live process. ``caught`` and ``ignored`` are its signals, bit 0 for signal 1."""

    pid: int
    parent: int
    started: int
    """Ticks of the clock since the system started."""

    name: str
    program: str
    """Name of the program's file: of a script, that of its interpreter."""

    script: str
    """Name of the first argument, which is a script's name if ``program`` is an interpreter."""

    caught: int
    ignored: int
    reads: frozenset[Pipe]
    """The pipes that it may read and not write: bash reads ``$(…)`` from another descriptor than standard input."""

    writes: frozenset[Pipe]
    """The pipes that are its standard output and error."""

    feeds: frozenset[Pipe] = frozenset()
    """The pipes that it may write through another descriptor, as ``tee`` does with its files."""

    stopped: bool = False
    """Whether it does nothing, not even end at a signal, until it gets SIGCONT."""

    @property
    def key(self) -> tuple[int, int, str]:
        """Return what names the process although process numbers are used again.

        A shell may start its last command in place of itself, which gets none of the signals that the shell got.
        """
        return self.pid, self.started, self.program

    def catches(self, number: int) -> bool:
        """Return whether the process handles a signal itself."""
        return bool(self.caught >> (number - 1) & 1)

    def ignores(self, number: int) -> bool:
        """Return whether the process ignores a signal."""
        return bool(self.ignored >> (number - 1) & 1)


def family(sessions: Container[int] = (), *, root: int | None = None) -> list[Process]:
    """Return the live processes below ``root``, by default this process, and those in the sessions named."""
    root = os.getpid() if root is None else root
    found = dict(_stats())
    below: dict[int, list[int]] = {}
    for pid, fields in found.items():
        below.setdefault(int(fields[_PARENT]), []).append(pid)
    members = [pid for pid, fields in found.items() if int(fields[_SESSION]) in sessions]
    pending = [root]
    while pending:
        children = below.get(pending.pop(), [])
        members += children
        pending += children
    described = (_described(pid, found[pid]) for pid in sorted(set(members) - {root}))
    return [process for process in described if process is not None]


def _stats() -> Iterator[tuple[int, list[bytes]]]:
    for entry in os.listdir("/proc"):  # noqa: PTH208 - each name is looked at once
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb", buffering=0) as file:  # noqa: PTH123
                # The name in parentheses may contain any character, so the fields are counted after its end.
                yield int(entry), file.read().rpartition(b")")[2].split()


def _described(pid: int, fields: list[bytes]) -> Process | None:
    """Return a process; None if it has ended. What may not be read of it is taken as absent."""
    if fields[_STATE] in {b"Z", b"X"}:
        return None
    folder = Path("/proc", str(pid))
    try:
        status = _status(folder)
    except OSError:
        return None
    words: list[bytes] = []
    program = ""
    with contextlib.suppress(OSError):
        words = (folder / "cmdline").read_bytes().split(b"\0")
        # Linux marks a file that was removed while it runs (proc(5)).
        program = os.path.basename((folder / "exe").readlink()).removesuffix(" (deleted)")  # noqa: PTH119
    outputs = frozenset(pipe for name in ("1", "2") if (pipe := _pipe(folder / "fd" / name)) is not None)
    read, written = _pipes(folder / "fd")
    return Process(
        pid=pid,
        parent=int(fields[_PARENT]),
        started=int(fields[_STARTED]),
        name=status.get("Name", ""),
        program=program or status.get("Name", ""),
        script=os.path.basename(os.fsdecode(words[1])) if len(words) > 1 else "",  # noqa: PTH119
        caught=int(status.get("SigCgt", "0"), 16),
        ignored=int(status.get("SigIgn", "0"), 16),
        reads=read - written,
        writes=outputs,
        feeds=written - outputs,
        stopped=fields[_STATE] == b"T",
    )


def _status(folder: Path) -> Mapping[str, str]:
    lines = (folder / "status").read_text("utf-8", "replace").splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def _pipes(folder: Path) -> tuple[frozenset[Pipe], frozenset[Pipe]]:
    """Return the pipes of a process's descriptors that are open for reading, and for writing (proc(5))."""
    read: set[Pipe] = set()
    written: set[Pipe] = set()
    with contextlib.suppress(OSError):
        for descriptor in folder.iterdir():
            with contextlib.suppress(OSError):
                mode, pipe = descriptor.lstat().st_mode, _pipe(descriptor)
                if pipe is not None:
                    read |= {pipe} if mode & stat.S_IRUSR else set()
                    written |= {pipe} if mode & stat.S_IWUSR else set()
    return frozenset(read), frozenset(written)


def _pipe(descriptor: Path) -> Pipe | None:
    try:
        opened = descriptor.stat()
    except OSError:
        return None
    return (opened.st_dev, opened.st_ino) if stat.S_ISFIFO(opened.st_mode) else None


__all__ = ["Pipe", "Process", "family"]
