"""Every AWS call of the door, the preparation, the worker and the watchdog goes wrong once, in every way."""

from __future__ import annotations

import pytest

from faults import world
from faults.injection import Kind
from faults.sweep import SWEPT, check_every_call, named, sweep
from faults.world import World

SWEEPS = [
    ("door", "all goes well", 6),
    ("init", "all goes well", 10),
    ("worker", "all goes well", 10),
    ("broker", "all goes well", 12),
    ("watchdog", "all goes well", 3),
    ("watchdog", "workers die", 8),
    ("watchdog", "there is no code", 1),
]
"""Function, story, and the least number of calls that there are to go wrong."""


@pytest.mark.slow
@pytest.mark.parametrize("kinds", SWEPT, ids=named)
@pytest.mark.parametrize(("function", "story", "least"), SWEEPS)
def test_whatever_call_goes_wrong_the_promises_hold(services, monkeypatch, function, story, least, kinds):
    check_every_call(services, monkeypatch, function, story, kinds, least)


def test_the_sweep_notices_a_run_that_nobody_looks_after(services, monkeypatch):
    monkeypatch.setattr(World, "_poll", lambda world, name: None)
    monkeypatch.setitem(world.RETRIES, "orchestrator", ())
    swept = sweep(services, monkeypatch, "orchestrator", "all goes well", [Kind.DIES_AFTER])
    assert any("an accepted run ends" in promise for _, broken in swept for promise in broken)
