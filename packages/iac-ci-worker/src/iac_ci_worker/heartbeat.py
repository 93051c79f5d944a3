"""Trades once a minute while the commands run, in a thread of the supervising process."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from iac_ci_common.limits import HEARTBEAT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


class Heartbeat(Protocol):
    """Does something again and again beside the commands."""

    def during(self, beat: Callable[[], None]) -> AbstractContextManager[None]:
        """Call ``beat`` every ``HEARTBEAT_SECONDS`` until the context ends. ``beat`` raises nothing."""
        ...


class ThreadHeartbeat:
    """Beats in a thread."""

    def __init__(self, *, seconds: float = HEARTBEAT_SECONDS) -> None:
        """Wait ``seconds`` before each beat."""
        self._seconds = seconds

    @contextmanager
    def during(self, beat: Callable[[], None]) -> Iterator[None]:
        """Call ``beat`` until the context ends; a beat that is under way then is not waited for."""
        over = threading.Event()

        def go_on() -> None:
            while not over.wait(self._seconds):
                beat()

        threading.Thread(target=go_on, name="heartbeat", daemon=True).start()
        try:
            yield
        finally:
            over.set()
