"""Reads a log in chunks, in bounded memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from iac_ci_plans.blocks import Room
from iac_ci_plans.lines import parts_of
from iac_ci_plans.plan_text import plan_text
from iac_ci_plans.records import terragrunt_line
from iac_ci_plans.search import FREQUENT, HEADINGS, find_words
from iac_ci_plans.steps import Step, changes_of, counted
from iac_ci_plans.unit import Log, Unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from iac_ci_common.models.changes import Changes
    from iac_ci_common.models.plan_text import PlanText

MAX_LINE_BYTES: Final = 8 * 1024 * 1024
"""Longest line that is read, in bytes: a plan document of a few thousand resources."""

_MAX_UNITS: Final = 1_000
_LENGTHS: Final = tuple(len(word) for word, _ in FREQUENT)
_USUAL_HEADINGS: Final = (b"  # ", b"\x1b[1m  # ")
_COMMAND: Final = b"$"
"""Stands for the command among the units whose next line has to be read."""

_MAX_COMMAND_BYTES: Final = 64 * 1024
"""Longest command that is kept: twice what the log shows of one. A longer one is text that looks like a command."""

_NO_ADDRESS: Final = frozenset(b"{[0123456789")
"""What lines with a prefix or with JSON may begin with, and addresses do not."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a log says. ``ran`` is True if it shows that a plan or an apply ran, whatever could be read of it."""

    changes: Changes | None
    ran: bool
    steps: tuple[Step, ...] = ()
    log: Log | None = None

    def text(self, mask: Callable[[str], str]) -> PlanText | None:
        """Return the plans' text, masked; None if there is none.

        ``mask`` gets the text of one resource at a time, without colours and prefixes.
        """
        return plan_text(self.steps, self.log, mask) if self.log is not None else None


class PlanReader:
    """Reads a log in chunks. Memory is limited by the longest line, at most ``MAX_LINE_BYTES``."""

    def __init__(self) -> None:
        """Start with an empty log."""
        self._line = bytearray()
        self._skipping = False
        self._log = Log(Room())
        self._units: dict[bytes, Unit] = {}
        self._following: set[bytes] = set()

    def feed(self, chunk: bytes) -> None:
        """Read the next chunk of the log."""
        first, last = chunk.find(b"\n"), chunk.rfind(b"\n")
        if first < 0:
            self._hold(chunk)
            return
        self._hold(chunk[:first])
        self._end_line()
        if last > first:
            self._read_lines(chunk[first + 1 : last + 1])
        self._hold(chunk[last + 1 :])

    def result(self) -> Reading:
        """Return what was read."""
        self._end_line()
        steps = counted(self._log.steps)
        changes = None if self._log.is_incomplete else changes_of(steps)
        return Reading(changes, self._log.ran, tuple(steps), self._log)

    def _read_lines(self, data: bytes) -> None:
        """Read whole lines: those with a word of interest, and those that belong to what such a line began.

        What is said of most resources is only counted where it can be: a parsed line takes ten times as long.
        """
        position = self._follow(data, 0)
        counts = [0] * len(FREQUENT)
        has_room = self._log.room.has_room
        for end, number in find_words(data):
            if end <= position:
                continue
            start = data.rfind(b"\n", 0, end) + 1
            if number < len(HEADINGS):
                is_counted = not has_room and data.startswith(_USUAL_HEADINGS, start)
            else:
                is_counted = (
                    number < len(FREQUENT)
                    and data.find(b" ", start, end - _LENGTHS[number]) < 0
                    and data[start] not in _NO_ADDRESS
                )
            if is_counted:
                counts[number] += 1
                position = end
                continue
            self._count(counts)
            stop = data.find(b"\n", end)
            self._take(data[start:stop])
            position = self._follow(data, stop + 1)
            has_room = self._log.room.has_room
        self._count(counts)

    def _count(self, counts: list[int]) -> None:
        """Add what was counted since the last line that was parsed, and begin again."""
        if not any(counts):
            return
        unit = self._unit(b"")
        for number, count in enumerate(counts):
            if count and number < len(HEADINGS):
                unit.count_planned(FREQUENT[number][1], count)
            elif count:
                unit.count_done(FREQUENT[number][1], count)
            counts[number] = 0

    def _follow(self, data: bytes, position: int) -> int:
        while self._following and position < len(data):
            stop = data.find(b"\n", position)
            self._take(data[position:stop])
            position = stop + 1
        return position

    def _hold(self, part: bytes) -> None:
        if self._skipping:
            return
        self._line += part
        if len(self._line) > MAX_LINE_BYTES:
            if b'"planned_values"' in self._line[:4096]:
                self._log.ran = self._log.is_incomplete = True
            self._line.clear()
            self._skipping = True

    def _end_line(self) -> None:
        if not self._skipping and (self._following or find_words(bytes(self._line))):
            self._take(bytes(self._line))
        self._line.clear()
        self._skipping = False

    def _take(self, line: bytes) -> None:
        self._command_line(line)
        name, text = parts_of(line)
        record = _parsed(text)
        if record is not None and (wrapped := terragrunt_line(record)) is not None:
            outer, text = (part.encode("utf-8", "replace") for part in wrapped)
            inner, text = parts_of(text)
            name = inner or outer
            record = _parsed(text)
        unit = self._unit(name)
        if record is None:
            unit.take(text)
        else:
            unit.record(record)
        if unit.follows:
            self._following.add(unit.name)
        else:
            self._following.discard(unit.name)

    def _command_line(self, line: bytes) -> None:
        """Keep a command, which the log shows with `$` before its first line and `>` before the others."""
        if line.startswith(b"$ "):
            self._log.command = bytearray(line[2:])
            self._following.add(_COMMAND)
        elif _COMMAND in self._following and line.startswith(b">"):
            self._log.command += b"\n" + line[2:]
        else:
            self._following.discard(_COMMAND)
        if len(self._log.command) > _MAX_COMMAND_BYTES:
            self._log.command.clear()
            self._following.discard(_COMMAND)

    def _unit(self, name: bytes) -> Unit:
        unit = self._units.get(name)
        if unit is None:
            if len(self._units) >= _MAX_UNITS:
                self._log.is_incomplete = True
                return next(iter(self._units.values()))
            unit = self._units[name] = Unit(name, self._log)
        return unit


def _parsed(text: bytes) -> dict[str, Any] | None:
    """Return a line that is a JSON object, None for any other."""
    if not text.startswith(b"{") or not text.rstrip().endswith(b"}"):
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
