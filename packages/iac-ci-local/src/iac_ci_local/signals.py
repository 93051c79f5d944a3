"""Makes SIGTERM and SIGHUP end a command like Ctrl-C, with all of its clean-up."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class EndedBySignal(SystemExit):
    """A signal ended the command; the exit code is 128 plus the signal's number, as in a shell."""


def _raise(number: int, _: FrameType | None) -> NoReturn:
    raise EndedBySignal(128 + number)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Raise ``EndedBySignal`` for SIGTERM and SIGHUP while the block runs."""
    before = {number: signal.signal(number, _raise) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
