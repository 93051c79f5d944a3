"""Trades again and again while the commands run, in a thread of the supervising process."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


class Heartbeat(Protocol):
    """Does something again and again beside the commands."""

    def during(self, beat: Callable[[], float], first: float) -> AbstractContextManager[None]:
        """Call ``beat`` after ``first`` seconds and then as many seconds after its start as it returns, to the end.

        ``beat`` raises nothing.
        """
        ...


class ThreadHeartbeat:
    """Beats in a thread."""

    @contextmanager
    def during(self, beat: Callable[[], float], first: float) -> Iterator[None]:
        """Call ``beat`` until the context ends; a beat that is under way then is not waited for."""
        over = threading.Event()

        def go_on() -> None:
            due = time.monotonic() + first
            while not over.wait(max(0.0, due - time.monotonic())):
                # A slow answer delays no beat after it.
                began = time.monotonic()
                due = began + beat()

        threading.Thread(target=go_on, name="heartbeat", daemon=True).start()
        try:
            yield
        finally:
            over.set()
