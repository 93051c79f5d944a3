"""The throttle of a route is API Gateway's: a burst at once, then a rate, for this route alone."""

from __future__ import annotations

import json

from iac_ci_local.templates import stack_folder
from iac_ci_local.throttle import Throttle, page_throttle


def test_a_burst_passes_at_once_and_then_the_rate() -> None:
    now = [0.0]
    throttle = Throttle(20, 40, clock=lambda: now[0])
    assert sum(throttle.lets_through() for _ in range(400)) == 40
    now[0] += 0.5
    assert sum(throttle.lets_through() for _ in range(400)) == 10
    now[0] += 3600
    assert sum(throttle.lets_through() for _ in range(400)) == 40


def test_pages_have_the_throttle_of_the_stack() -> None:
    page = json.loads((stack_folder() / "api.json").read_text("utf-8"))["page"]
    throttle = page_throttle()
    assert sum(throttle.lets_through() for _ in range(page["throttling_burst"])) == page["throttling_burst"]
