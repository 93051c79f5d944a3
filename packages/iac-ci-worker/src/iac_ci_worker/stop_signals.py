"""Decides which processes of an order are asked to end, when, and by which signal: pure.

Each process is asked once while it has work, because Terraform leaves at once on a second signal, without writing its
state:

- Terraform and OpenTofu are asked themselves, by SIGINT; nothing below them is: their plugins survive no SIGTERM, and
  they end their provisioners themselves.
- A program above a live Terraform is not asked: some kill Terraform when they are interrupted (Terragrunt 0.86 to 0.97,
  Python's ``subprocess.run``), others pass the signal on, at once or after 15 seconds, which would be the second one
  (``timeout``, ``npm``, Terragrunt, handlers of scripts).
- ``timeout`` and its like, and a script with a handler, are not asked while a program below them handles its signal.
- Another program that is no shell and waits for a command is asked ten seconds after it, for the same reasons.
- A script that handles SIGTERM is asked by it, and what it runs ten seconds later: it may pass the signal on.
- A process that reads a pipe is not asked while a process of the order writes into it: ``tee``, what reads from
  ``tee``, and bash for ``$(…)`` would leave Terraform with a broken pipe.
- A process that the commands have stopped (SIGSTOP) is continued as soon as it is asked.
- What starts after the wish to stop has ten seconds, so that handlers can clean up, and is then asked as well.

What starts one command after another would do so until it is killed, in the middle of one of them:

- A shell goes on after a SIGINT that its command has handled. One that handles no SIGTERM is ended by it ten seconds
  after it went on.
- Another one is held by SIGSTOP once it runs nothing but what started after the wish, so that it starts nothing more.
  It is asked when that has ended, and killed if it goes on again.
- What was asked and may be cleaning up goes on until shortly before the end of the grace. Then it is held as well, and
  what it runs is asked at once.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iac_ci_worker.process_family import Family, handles_termination

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from iac_ci_worker.process_table import Process

LATE_SECONDS: Final = 10.0
"""Time that a process has before it is asked although it was not to be asked at first."""

CLOSING_SECONDS: Final = 20.0
"""Last part of the grace, in which nothing more may start."""

Key = tuple[int, int, str]


@dataclass(slots=True)
class Asked:
    """Who was asked since the wish to stop, and when the others are due."""

    processes: set[Key] = field(default_factory=set)
    due: dict[Key, float] = field(default_factory=dict)
    late: set[Key] = field(default_factory=set)
    """Those that started after the wish."""

    went_on: dict[Key, float] = field(default_factory=dict)
    """Since when a process has had a command that started after the wish."""

    tools: set[Key] = field(default_factory=set)
    """Those that were Terraform at some look."""

    held: set[Key] = field(default_factory=set)
    """Those that are held by SIGSTOP."""

    let_go: set[Key] = field(default_factory=set)
    """Those that were held, and were asked when they ran nothing any more."""

    ended: set[Key] = field(default_factory=set)
    """Those that were ended because they went on."""

    killed: bool = False
    """Whether a process was killed because it went on although it was asked."""

    def count(self, processes: Iterable[Process], now: float) -> None:
        """Count these processes as asked."""
        for process in processes:
            self.processes.add(process.key)
            self.due[process.key] = now


def has_tool(processes: Sequence[Process]) -> bool:
    """Return whether one of the processes is Terraform or OpenTofu."""
    return bool(Family(processes).tools)


def signals(
    processes: Sequence[Process], asked: Asked, now: float, *, closing: bool = False
) -> list[tuple[Process, signal.Signals]]:
    """Return the processes to signal now, each with its signal, and note them in ``asked``.

    ``closing`` is true for the last ``CLOSING_SECONDS`` of the grace.
    """
    look = _Look(Family(processes, asked.tools), asked, now, closing=closing)
    asked.tools |= {look.family.processes[pid].key for pid in look.family.tools}
    chosen = look.asks()
    # First those that go on, so that they start nothing when what they wait for ends.
    return [*look.ends(), *chosen, *look.continues()]


class _Look:
    """One look at the processes."""

    def __init__(self, family: Family, asked: Asked, now: float, *, closing: bool) -> None:
        self.family, self._asked, self._now, self._closing = family, asked, now, closing
        self._below_tools = family.below(family.tools)
        self._readers = family.readers()
        self._ends_itself = family.ends_itself() - self._below_tools
        own = {pid for pid, process in family.processes.items() if handles_termination(process)}
        self._handled = family.below(own)
        careful = own | {pid for pid in family.processes if family.is_launcher(pid) or _exits(family, pid)}
        self._spared = family.above(family.tools) | (family.above(self._ends_itself) & careful)

    def asks(self) -> list[tuple[Process, signal.Signals]]:
        """Return who is asked to end."""
        asked, now = self._asked, self._now
        at_first = not asked.due
        chosen = []
        for pid, process in self.family.processes.items():
            if process.key in asked.processes or process.key in asked.held:
                continue
            if not at_first and process.key not in asked.due:
                asked.late.add(process.key)
            tool, waits = pid in self.family.tools, self.family.waits(pid)
            alone = pid not in self._handled or pid in self._ends_itself
            at_once = at_first and not waits and (tool or alone)
            due = asked.due.setdefault(process.key, now if at_once else now + LATE_SECONDS)
            if self._closing and process.key in asked.late and not waits:
                due = now
            if pid in self._below_tools or pid in self._spared or (pid in self._readers and not tool):
                # Once it is alone it has its ten seconds; a Terraform that ran another one is asked right after it.
                asked.due[process.key] = now + (0 if tool else LATE_SECONDS)
            elif now >= due and waits and not self.family.is_shell(pid) and self._runs_only_late(pid):
                asked.went_on.setdefault(process.key, now - LATE_SECONDS)
            elif now >= due:
                asked.processes.add(process.key)
                number = _signal(process, tool=tool, shell=self.family.is_shell(pid))
                if number is not None:
                    chosen.append((process, number))
        return chosen

    def ends(self) -> list[tuple[Process, signal.Signals]]:
        """Return who is ended, held, or let go because it goes on."""
        self._note_who_went_on()
        asked = self._asked
        chosen: list[tuple[Process, signal.Signals]] = []
        for pid, process in self.family.processes.items():
            if process.key in asked.held:
                # What it ran may have lost its parent and still print to it.
                is_alone = all(child.key in asked.held for child in self._processes_below(pid))
                if is_alone and pid not in self._readers:
                    chosen += self._let_go(process)
            elif self._is_to_end(process):
                if self._is_ended_by_termination(process):
                    asked.ended.add(process.key)
                    chosen.append((process, signal.SIGTERM))
                elif self._is_to_be_held(process):
                    asked.held.add(process.key)
                    chosen.append((process, signal.SIGSTOP))
                    # What would be printed now has no reader.
                    late = (child.key for child in self._processes_below(pid) if child.key in asked.late)
                    asked.due.update(dict.fromkeys(late, self._now))
        return chosen

    def continues(self) -> list[tuple[Process, signal.Signals]]:
        """Return who was asked and does not know it, because the commands have stopped it."""
        asked = self._asked.processes - self._asked.held
        return [(one, signal.SIGCONT) for one in self.family.processes.values() if one.stopped and one.key in asked]

    def _note_who_went_on(self) -> None:
        """Note who started a command after the wish: the shells above it, and the first program above those.

        A program may need others to end in an orderly way: it goes on if it starts Terraform, or was let go before.
        """
        for pid, process in self.family.processes.items():
            above = process.parent if process.key in self._asked.late else 0
            while above in self.family.processes and above not in self.family.tools:
                shell, key = self.family.is_shell(above), self.family.processes[above].key
                starts_others = shell or self.family.is_launcher(above) or key in self._asked.let_go
                if starts_others or pid in self.family.tools:
                    self._asked.went_on.setdefault(key, self._now)
                above = self.family.processes[above].parent if shell else 0

    def _is_to_end(self, process: Process) -> bool:
        since = self._asked.went_on.get(process.key)
        if since is None or process.key in self._asked.ended or process.pid in self._below_tools:
            return False
        return self._closing or self._now >= since + LATE_SECONDS

    def _is_ended_by_termination(self, process: Process) -> bool:
        handled = process.catches(signal.SIGTERM) or process.ignores(signal.SIGTERM)
        return self.family.is_shell(process.pid) and not handled and process.pid not in self._readers

    def _is_to_be_held(self, process: Process) -> bool:
        below = self.family.below({process.pid})
        if not below or self._closing:
            return bool(below)
        may_clean_up = process.key in self._asked.processes and (
            process.catches(signal.SIGTERM) or not self.family.is_shell(process.pid)
        )
        tool_is_late = any(self.family.processes[pid].key in self._asked.late for pid in below & self.family.tools)
        return self._runs_only_late(process.pid) and (tool_is_late or not may_clean_up)

    def _let_go(self, process: Process) -> list[tuple[Process, signal.Signals]]:
        if self.family.is_shell(process.pid):
            # It has no command left whose end it would wait for.
            wanted = (signal.SIGTERM, signal.SIGINT)
            number = next((one for one in wanted if not process.ignores(one)), None)
        else:
            number = _signal(process, tool=False, shell=False)
        if process.key in self._asked.let_go or number is None:
            self._asked.killed = True
            self._asked.held.discard(process.key)
            self._asked.ended.add(process.key)
            return [(process, signal.SIGKILL)]
        self._asked.held.discard(process.key)
        self._asked.went_on.pop(process.key, None)
        self._asked.let_go.add(process.key)
        self._asked.processes.add(process.key)
        return [(process, number), (process, signal.SIGCONT)]

    def _processes_below(self, pid: int) -> list[Process]:
        return [self.family.processes[child] for child in self.family.below({pid})]

    def _runs_only_late(self, pid: int) -> bool:
        return all(child.key in self._asked.late for child in self._processes_below(pid))


def _exits(family: Family, pid: int) -> bool:
    """Return whether a process is a script whose handler for its exit may end what it has in the background."""
    return family.is_shell(pid) and family.waits(pid)


def _signal(process: Process, *, tool: bool, shell: bool) -> signal.Signals | None:
    """Return the signal that a process ends by in an orderly way; None if it ignores both."""
    interrupt, terminate = signal.SIGINT, signal.SIGTERM
    if shell:
        preferred = terminate if handles_termination(process) else interrupt
    elif tool or process.catches(interrupt) or not process.catches(terminate):
        preferred = interrupt
    else:
        preferred = terminate
    # Commands in the background of a script have SIGINT ignored, unless they handle it themselves.
    return next((number for number in (preferred, terminate) if not process.ignores(number)), None)


__all__ = ["CLOSING_SECONDS", "LATE_SECONDS", "Asked", "has_tool", "signals"]
