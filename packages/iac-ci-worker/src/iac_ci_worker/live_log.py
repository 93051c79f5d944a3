"""Sends the log in parts while the commands run, so that it can be followed, and so that a crash loses little of it."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import IacCiError, UrlExpired
from iac_ci_common.limits import LIVE_SECONDS, MAX_LIVE_PART_BYTES, MAX_LIVE_PARTS, SLOW_LIVE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from iac_ci_common.ports import Logger
    from iac_ci_worker.presigned import PresignedObjects
    from iac_ci_worker.rights import Rights

FIRST_SECONDS: Final = 60.0
"""How long after its start an order sends as often as while it is followed."""

_WRITER_SECONDS: Final = 1.0
"""What the log's writer and the upload take of a period."""

_TICK_SECONDS: Final = 0.25
_FAILURE_SECONDS: Final = 30.0
_LAST_SECONDS: Final = 10.0


class LiveLog:
    """Sends each byte of the log once. A part that cannot be sent is tried again, and never ends or delays an order."""

    def __init__(
        self,
        log: Path,
        rights: Rights,
        objects: PresignedObjects,
        logger: Logger,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Send the file ``log``, which only grows; ``clock`` returns seconds."""
        self._log, self._rights, self._objects, self._logger, self._clock = log, rights, objects, logger, clock
        self._started = clock()
        self._sent = 0
        self._since: float | None = None
        self._not_before = 0.0
        self._over = threading.Event()
        self.parts = 0
        """How many parts were sent."""

    @contextmanager
    def during(self) -> Iterator[None]:
        """Send until the context ends; a part that is under way then is waited for, a few seconds at most."""
        thread = threading.Thread(target=self._run, name="live log", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(_LAST_SECONDS)

    def _run(self) -> None:
        while not self._over.wait(_TICK_SECONDS):
            self.tick()

    def tick(self) -> None:
        """Send what is due."""
        now = self._clock()
        size = self._log.stat().st_size if self._log.exists() else 0
        if size <= self._sent:
            return
        if self._since is None:
            self._since = now
        if now < self._not_before or now - self._since < self._period(now):
            return
        try:
            while self._sent < size and self.parts < MAX_LIVE_PARTS and not self._over.is_set():
                self._send(min(size, self._sent + MAX_LIVE_PART_BYTES))
            self._since = None
        except UrlExpired:
            # A URL ends with the session that signed it; the next heartbeat brings others.
            self._not_before = now + LIVE_SECONDS
        except (IacCiError, OSError) as error:
            self._not_before = now + _FAILURE_SECONDS
            self._logger.warning("part of the log not sent", error=getattr(error, "message", type(error).__name__))

    def _period(self, now: float) -> float:
        is_fast = self._rights.followed or now - self._started < FIRST_SECONDS
        return (LIVE_SECONDS if is_fast else SLOW_LIVE_SECONDS) - _WRITER_SECONDS

    def _send(self, end: int) -> None:
        url = self._rights.part_url(self.parts)
        with self._log.open("rb") as file:
            file.seek(self._sent)
            body = file.read(end - self._sent)
        self._objects.send_part(url, body)
        self._sent += len(body)
        self.parts += 1
        self._rights.parts_sent = self.parts
