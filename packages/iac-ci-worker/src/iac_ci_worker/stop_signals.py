"""Decides which processes of an order are asked to end, when, and by which signal: pure.

Each process is asked once, because Terraform leaves at once on a second signal, without writing its state:

- Terraform and OpenTofu are asked themselves, by SIGINT; nothing below them is: their plugins survive no SIGTERM, and
  they end their provisioners themselves.
- A program above a live Terraform is not asked: some kill Terraform when they are interrupted (Terragrunt 0.86 to 0.97,
  Python's ``subprocess.run``), others pass the signal on, at once or after 15 seconds, which would be the second one
  (``timeout``, ``npm``, Terragrunt, handlers of scripts).
- Another program that is no shell and waits for a command is asked ten seconds after it, for the same reasons.
- A script that handles SIGTERM is asked by it, and what it runs ten seconds later: it may pass the signal on.
- A process that reads a pipe is not asked while a process of the order writes into it: ``tee``, and bash for ``$(…)``,
  would leave Terraform with a broken pipe.
- What starts after the wish to stop has ten seconds, so that handlers can clean up, and is then asked as well.
- A shell goes on after a SIGINT that its command has handled. One that handles no SIGTERM is ended by it ten seconds
  after it went on: a loop that tries again would start Terraform until it is killed.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from iac_ci_worker.process_table import Process

LATE_SECONDS: Final = 10.0
"""Time that a process has before it is asked although it was not to be asked at first."""

_TOOLS: Final = frozenset({"terraform", "tofu"})
_PLUGIN: Final = "terraform-provi"
"""Name of a provider's process, as far as the kernel keeps it (15 characters, proc(5))."""

_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox"})
_INTERPRETERS: Final = ("python",)


@dataclass(slots=True)
class Asked:
    """Who was asked since the wish to stop, and when the others are due."""

    processes: set[tuple[int, int]] = field(default_factory=set)
    due: dict[tuple[int, int], float] = field(default_factory=dict)
    late: set[tuple[int, int]] = field(default_factory=set)
    """Those that started after the wish."""

    went_on: dict[tuple[int, int], float] = field(default_factory=dict)
    """Since when a shell has had a command that started after the wish."""

    ended: set[tuple[int, int]] = field(default_factory=set)
    """Shells that were ended because they went on."""

    def count(self, processes: Iterable[Process], now: float) -> None:
        """Count these processes as asked."""
        for process in processes:
            self.processes.add(process.key)
            self.due[process.key] = now


def is_tool(process: Process, children: Sequence[Process]) -> bool:
    """Return whether a process is Terraform or OpenTofu, under whatever name: only they have such plugins."""
    if process.program in _TOOLS or any(child.name.startswith(_PLUGIN) for child in children):
        return True
    # Scripts and links are known by the name that they were started by.
    return process.name in _TOOLS or (process.program.startswith(_INTERPRETERS) and process.script in _TOOLS)


def has_tool(processes: Sequence[Process]) -> bool:
    """Return whether one of the processes is Terraform or OpenTofu."""
    children = _children(processes)
    return any(is_tool(process, children.get(process.pid, ())) for process in processes)


def signals(processes: Sequence[Process], asked: Asked, now: float) -> list[tuple[Process, signal.Signals]]:
    """Return the processes to ask now, each with its signal, and note them in ``asked``."""
    at_first = not asked.due
    children = _children(processes)
    tools = {process.pid for process in processes if is_tool(process, children.get(process.pid, ()))}
    below, above = _below(children, tools), _above(processes, tools)
    handled = _below(children, {process.pid for process in processes if _has_own_handler(process)})
    written = frozenset(pipe for process in processes for pipe in process.writes)
    chosen = []
    for process in processes:
        if process.key in asked.processes:
            continue
        tool, shell = process.pid in tools, process.program in _SHELLS
        wraps = process.pid in children and not tool and not shell
        if not at_first and process.key not in asked.due:
            asked.late.add(process.key)
        at_once = at_first and not wraps and (tool or process.pid not in handled)
        due = asked.due.setdefault(process.key, now if at_once else now + LATE_SECONDS)
        if process.pid in below or process.pid in above or (process.reads & written and not tool):
            # Once it is alone it has its ten seconds; a Terraform that ran another one is asked right after that one.
            asked.due[process.key] = now + (0 if tool else LATE_SECONDS)
        elif now >= due:
            asked.processes.add(process.key)
            number = _signal(process, tool=tool, shell=shell)
            if number is not None:
                chosen.append((process, number))
    ended = [
        shell
        for shell in _went_on(processes, tools, asked, now)
        if shell.pid not in below and not shell.reads & written
    ]
    asked.ended |= {shell.key for shell in ended}
    # First the shells, so that they start nothing when what they wait for ends.
    return [(shell, signal.SIGTERM) for shell in ended] + chosen


def _went_on(processes: Sequence[Process], tools: set[int], asked: Asked, now: float) -> list[Process]:
    """Return the shells that went on ten seconds ago, handle no SIGTERM and have not been ended."""
    by_pid = {process.pid: process for process in processes}
    for process in processes:
        above = by_pid.get(process.parent) if process.key in asked.late else None
        while above is not None and above.program in _SHELLS and above.pid not in tools:
            asked.went_on.setdefault(above.key, now)
            above = by_pid.get(above.parent)
    return [
        process
        for process in processes
        if process.key not in asked.ended
        and now >= asked.went_on.get(process.key, now) + LATE_SECONDS
        and not process.catches(signal.SIGTERM)
    ]


def _signal(process: Process, *, tool: bool, shell: bool) -> signal.Signals | None:
    """Return the signal that a process ends by in an orderly way; None if it ignores both."""
    interrupt, terminate = signal.SIGINT, signal.SIGTERM
    if shell:
        preferred = terminate if _has_own_handler(process) else interrupt
    elif tool or process.catches(interrupt) or not process.catches(terminate):
        preferred = interrupt
    else:
        preferred = terminate
    for number in (preferred, terminate):
        # Commands in the background of a script have SIGINT ignored, unless they handle it themselves.
        if not process.ignores(number):
            return number
    return None


def _has_own_handler(process: Process) -> bool:
    """Return whether a process is a shell whose script handles SIGTERM.

    A shell catches SIGINT whenever it waits. With a handler for its exit, bash catches every signal that would end it.
    """
    ends_by_any = process.catches(signal.SIGHUP) and process.catches(signal.SIGABRT)
    return process.program in _SHELLS and process.catches(signal.SIGTERM) and not ends_by_any


def _children(processes: Sequence[Process]) -> Mapping[int, list[Process]]:
    children: dict[int, list[Process]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
    return children


def _below(children: Mapping[int, Sequence[Process]], tops: set[int]) -> set[int]:
    """Return the processes below ``tops``, other than ``tops`` themselves."""
    found: set[int] = set()
    pending = list(tops)
    while pending:
        for child in children.get(pending.pop(), ()):
            if child.pid not in found and child.pid not in tops:
                found.add(child.pid)
                pending.append(child.pid)
    return found


def _above(processes: Sequence[Process], bottoms: set[int]) -> set[int]:
    """Return the processes above ``bottoms``."""
    parents = {process.pid: process.parent for process in processes}
    found: set[int] = set()
    for bottom in bottoms:
        pid = parents.get(bottom, 0)
        while pid in parents and pid not in found:
            found.add(pid)
            pid = parents[pid]
    return found


__all__ = ["LATE_SECONDS", "Asked", "has_tool", "is_tool", "signals"]
