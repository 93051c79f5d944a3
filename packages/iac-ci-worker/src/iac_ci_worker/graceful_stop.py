"""Asks the processes of an order to end, and waits for all of them."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Final

from iac_ci_worker.process_table import family
from iac_ci_worker.stop_signals import CLOSING_SECONDS, Asked, has_tool, signals

if TYPE_CHECKING:
    from collections.abc import Callable, Container

_LOOK_SECONDS: Final = 0.1


def stop_gracefully(sessions: Container[int], until: Callable[[], float], *, were_asked: bool = False) -> bool:
    """Ask every process of the order to end, and wait for all; return whether they ended by themselves.

    The order's processes are those below this one, which is their subreaper, and those in ``sessions``. ``until`` is
    read again at each look, because a second wish to stop shortens the wait; its clock is ``time.monotonic``. With
    ``were_asked`` another has signalled all processes that are there now, and they are only waited for.
    """
    asked, began = Asked(), time.monotonic()
    if were_asked:
        asked.count(family(sessions), began)
    while processes := family(sessions):
        now = time.monotonic()
        end = until()
        if now >= end:
            return False
        closing = end - now <= min(CLOSING_SECONDS, (end - began) / 2)
        for process, number in signals(processes, asked, now, closing=closing):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, number)
        time.sleep(_LOOK_SECONDS)
    return not asked.killed


def terraform_is_left(sessions: Container[int]) -> bool | None:
    """Return whether Terraform is among the order's processes; None if no process is left."""
    processes = family(sessions)
    return has_tool(processes) if processes else None


__all__ = ["stop_gracefully", "terraform_is_left"]
