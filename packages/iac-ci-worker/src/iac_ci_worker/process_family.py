"""How the processes of an order stand to each other: pure."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from iac_ci_worker.process_table import Process

_TOOL: Final = re.compile(r"(terraform|tofu|opentofu)(-bin|[-_.]?v?\d.*)?")
"""Names of Terraform and OpenTofu, as version managers and wrappers name them."""

_PLUGIN: Final = "terraform-provi"
"""Name of a provider's process, as far as the kernel keeps it (15 characters, proc(5))."""

_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox"})
_INTERPRETERS: Final = ("python", "node", "ruby", "perl")
_LAUNCHERS: Final = frozenset(
    {"timeout", "xargs", "find", "make", "gmake", "flock", "script", "setsid", "time", "strace", "tini", "dumb-init"}
)


class Family:
    """The processes of an order, each by its number."""

    def __init__(self, processes: Sequence[Process], known: Container[tuple[int, int, str]] = ()) -> None:
        """Take the live processes; ``known`` are those that were Terraform before: its plugins end before it does."""
        self.processes = {process.pid: process for process in processes}
        self._children: dict[int, list[int]] = {}
        for process in processes:
            self._children.setdefault(process.parent, []).append(process.pid)
        self.tools = self._tools(known)
        """Terraform and OpenTofu, under whatever name: only they have such plugins."""

    def is_shell(self, pid: int) -> bool:
        """Return whether a process is a shell."""
        return self.processes[pid].program in _SHELLS

    def is_launcher(self, pid: int) -> bool:
        """Return whether a program does nothing but start others."""
        return self.processes[pid].program in _LAUNCHERS

    def children(self, pid: int) -> Sequence[Process]:
        """Return the live children of a process."""
        return [self.processes[child] for child in self._children.get(pid, ())]

    def waits(self, pid: int) -> bool:
        """Return whether a process waits for another: a program that runs one, or a shell whose own trap may end it.

        A script with a handler for its exit, which has commands in the background only, often kills them there. The end
        of the shell that ``script`` starts hangs up the terminal of what it runs.
        """
        if pid not in self._children or pid in self.tools:
            return False
        parent = self.processes.get(self.processes[pid].parent)
        if not self.is_shell(pid) or (parent is not None and parent.program == "script"):
            return True
        return _handles_exit(self.processes[pid]) and all(_is_in_background(child) for child in self.children(pid))

    def ends_itself(self) -> set[int]:
        """Return the programs that run no other and handle a signal: one is enough for them."""
        return {
            pid
            for pid, process in self.processes.items()
            if pid not in self._children
            and not self.is_shell(pid)
            and (process.catches(signal.SIGINT) or process.catches(signal.SIGTERM))
        }

    def below(self, tops: Iterable[int]) -> set[int]:
        """Return the processes below ``tops``, other than ``tops`` themselves."""
        roots, found = set(tops), set[int]()
        pending = list(roots)
        while pending:
            for child in self._children.get(pending.pop(), ()):
                if child not in found and child not in roots:
                    found.add(child)
                    pending.append(child)
        return found

    def above(self, bottoms: Iterable[int]) -> set[int]:
        """Return the processes above ``bottoms``."""
        found: set[int] = set()
        for bottom in bottoms:
            pid = self.processes[bottom].parent
            while pid in self.processes and pid not in found:
                found.add(pid)
                pid = self.processes[pid].parent
        return found

    def readers(self) -> set[int]:
        """Return the processes that read from a pipe what another process writes, directly or through ``tee``.

        A program that only answers another is no such writer, nor is one that reads from it: it may wait for its end,
        or have the descriptor from the shell of a coprocess.
        """
        printed = frozenset(pipe for process in self.processes.values() for pipe in process.writes)
        found = {pid for pid, process in self.processes.items() if process.reads & printed}
        feeding = [process for process in self.processes.values() if process.feeds]
        while further := {
            pid
            for pid, process in self.processes.items()
            if pid not in found and any(self._feeds(writer, process, found) for writer in feeding)
        }:
            found |= further
        return found

    def _feeds(self, writer: Process, reader: Process, readers: set[int]) -> bool:
        return bool(
            writer.feeds & reader.reads
            and writer.pid in readers
            and writer.pid != reader.pid
            and not self._prints_to(reader, writer)
        )

    def _prints_to(self, writer: Process, reader: Process) -> bool:
        """Return whether what a process prints reaches another, directly or through others."""
        reached, pending = {writer.pid}, [writer]
        while pending:
            pipes = pending.pop().writes
            further = [one for pid, one in self.processes.items() if pid not in reached and one.reads & pipes]
            reached |= {one.pid for one in further}
            pending += further
        return reader.pid in reached

    def _tools(self, known: Container[tuple[int, int, str]]) -> set[int]:
        found = {
            pid
            for pid, process in self.processes.items()
            if process.key in known or _has_name(process) or any(c.name.startswith(_PLUGIN) for c in self.children(pid))
        }
        # A script named like Terraform that runs Terraform is a wrapper.
        wrappers = {pid for pid in found if _is_script(self.processes[pid])} & self.above(found)
        return found - wrappers


def handles_termination(process: Process) -> bool:
    """Return whether the script of a shell handles SIGTERM; a shell catches SIGINT whenever it waits."""
    return process.program in _SHELLS and process.catches(signal.SIGTERM) and not _handles_exit(process)


def _handles_exit(process: Process) -> bool:
    """Return whether the script of a shell handles its exit: then bash catches every signal that would end it."""
    every = all(process.catches(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGABRT))
    return process.program in _SHELLS and every


def _is_in_background(process: Process) -> bool:
    """Return whether a script started a process in the background: then it has these signals ignored."""
    return process.ignores(signal.SIGINT) or process.ignores(signal.SIGQUIT)


def _has_name(process: Process) -> bool:
    if _TOOL.fullmatch(process.program):
        return True
    # Scripts and links are known by the name that they were started by.
    named_first = process.program.startswith(_INTERPRETERS) and _TOOL.fullmatch(process.script)
    return bool(_TOOL.fullmatch(process.name) or named_first)


def _is_script(process: Process) -> bool:
    return process.program in _SHELLS or process.program.startswith(_INTERPRETERS)


__all__ = ["Family", "handles_termination"]
