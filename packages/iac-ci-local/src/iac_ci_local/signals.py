"""Ends a command as Ctrl-C does when it is asked to end in another way, so that everything is cleaned up."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class Asked(SystemExit):
    """Somebody asked the command to end; the exit code is the shell's for that signal."""


def _ask(number: int, _: FrameType | None) -> NoReturn:
    raise Asked(128 + number)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into ``Asked`` for as long as the block runs."""
    before = {number: signal.signal(number, _ask) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
