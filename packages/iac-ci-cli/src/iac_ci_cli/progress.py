"""Shows on standard error what a command waits for, if that takes longer than two seconds."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from iac_ci_cli import streams

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_SECONDS: Final = 2.0
AGAIN_SECONDS: Final = 15.0


@contextmanager
def progress(activity: str, *, quiet: bool = False) -> Iterator[None]:
    """Write ``activity`` to standard error after two seconds, and again every 15 until the block ends.

    ``quiet`` writes nothing: with ``--json``, programs read the output.
    """
    if quiet:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_report, args=(activity, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _report(activity: str, ended: threading.Event) -> None:
    seconds = FIRST_SECONDS
    while not ended.wait(seconds):
        streams.write_error(f"{activity} …\n")
        seconds = AGAIN_SECONDS
