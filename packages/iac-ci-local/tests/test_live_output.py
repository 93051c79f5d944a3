"""What the commands of a run print is shown while they run: whole lines, by order, each once."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from iac_ci_common import keys
from iac_ci_common.models.rows import OrderRow
from iac_ci_common.ports import RunRows
from iac_ci_common.states import OrderState
from iac_ci_common.testing import FakeClock, MemoryObjects
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_local.live_output import MAX_HELD_CHARS, LiveOutput


class Shown:
    """A run's objects, its live output, and what that has printed."""

    def __init__(self) -> None:
        clock = FakeClock()
        self.seconds = 0.0
        self.objects = MemoryObjects(clock)
        self.file = io.StringIO()
        client = SimpleNamespace(internal=self.objects, clock=clock, runs=SimpleNamespace(follow=lambda *_, **__: None))
        console = Console(file=self.file, width=40)
        self.output = LiveOutput(cast("Any", client), RUN_ID, console, clock=lambda: self.seconds)
        self.parts: dict[str, int] = {}

    def sends(self, num: str, part: bytes) -> None:
        number = self.parts.get(num, 0)
        self.objects.put(keys.live_part(RUN_ID, num, number), part)
        self.parts[num] = number + 1

    def ends(self, num: str, log: bytes) -> None:
        self.objects.put(keys.log(RUN_ID, num), log)

    def look(self, *orders: OrderRow) -> list[str]:
        """Look a second later; return the lines that are new."""
        self.seconds += 1
        before = len(self.file.getvalue())
        self.output(RunRows(run_row(), list(orders)))
        return self.file.getvalue()[before:].splitlines()


def row(num: int, status: OrderState = OrderState.RUNNING) -> OrderRow:
    return order_row(num, status=status, dispatched_at=START)


ENDED = OrderState.SUCCEEDED


def test_lines_of_orders_that_run_at_once_alternate_and_are_never_mixed() -> None:
    shown = Shown()
    shown.sends("0001", b"one\nhal")
    shown.sends("0002", b"first\n")
    assert shown.look(row(1), row(2)) == ["order-1 | one", "order-2 | first"]
    shown.sends("0001", b"f\nlast")
    assert shown.look(row(1), row(2)) == ["order-1 | half"]
    shown.ends("0001", b"one\nhalf\nlast")
    assert shown.look(row(1, ENDED), row(2)) == ["order-1 | last"]
    assert shown.look(row(1, ENDED), row(2)) == []


def test_the_only_order_needs_no_name() -> None:
    shown = Shown()
    shown.ends("0001", b"$ true\n")
    assert shown.look(row(1, ENDED)) == ["$ true"]


@pytest.mark.parametrize(
    ("parts", "lines"),
    [
        ([b"a\r", b"\nb\r\n"], ["a", "b"]),
        ([b"\x1b[3", b"1mred\x1b[0m\n"], ["red"]),
        ([b"\xc3", b"\xa4\n"], ["ä"]),
        ([b"\n\n", b"x\n"], ["", "", "x"]),
        ([b"[bold]not markup[/bold] \x1b]0;title\x07\n"], ["[bold]not markup[/bold] "]),
        ([b"w" * 100 + b"\n"], ["w" * 100]),
    ],
)
def test_what_is_cut_between_two_parts_is_put_together(parts: list[bytes], lines: list[str]) -> None:
    shown = Shown()
    found = []
    for part in parts:
        shown.sends("0001", part)
        found += shown.look(row(1))
    assert found == lines


def test_a_line_without_an_end_is_not_held_back_for_ever() -> None:
    shown = Shown()
    shown.sends("0001", b"x" * (MAX_HELD_CHARS + 1))
    assert shown.look(row(1)) == ["x" * (MAX_HELD_CHARS + 1)]


def test_an_order_of_which_nothing_was_stored_says_so() -> None:
    shown = Shown()
    shown.ends("0001", b"$ true\n")
    never = order_row(3, status=OrderState.SKIPPED)
    lines = shown.look(row(1, ENDED), row(2, OrderState.FAILED), never)
    assert lines == ["order-1 | $ true", "order-2 | (the output was not stored)"]


def test_an_order_that_has_ended_is_shown_at_once() -> None:
    shown = Shown()
    shown.look(row(1))
    shown.ends("0001", b"late\n")
    shown.seconds -= 1
    assert shown.look(row(1, ENDED)) == ["late"]
