"""API Gateway's throttle of one route: a bucket of tokens (Amazon API Gateway Developer Guide, "Throttle requests")."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from iac_ci_local.templates import stack_folder

if TYPE_CHECKING:
    from collections.abc import Callable


class Throttle:
    """Lets ``rate`` requests through in a second, and ``burst`` at once."""

    def __init__(self, rate: float, burst: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with a full bucket; ``clock`` returns seconds."""
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._at = float(burst), clock()

    def lets_through(self) -> bool:
        """Return whether one more request may pass now."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def page_throttle() -> Throttle:
    """Return the throttle of the pages of runs, as ``api.json`` states it."""
    page = json.loads((stack_folder() / "api.json").read_text("utf-8"))["page"]
    return Throttle(page["throttling_rate_per_second"], page["throttling_burst"])
