"""Every AWS call of the orchestrator goes wrong once, in every way."""

from __future__ import annotations

import pytest

from faults.sweep import SWEPT, check_every_call, named

SWEEPS = [
    ("orchestrator", "all goes well", 25),
    ("orchestrator", "workers die", 15),
    ("orchestrator", "there is no code", 5),
]
"""Function, story, and the least number of calls that there are to go wrong."""


@pytest.mark.slow
@pytest.mark.parametrize("kinds", SWEPT, ids=named)
@pytest.mark.parametrize(("function", "story", "least"), SWEEPS)
def test_whatever_call_goes_wrong_the_promises_hold(services, monkeypatch, function, story, least, kinds):
    check_every_call(services, monkeypatch, function, story, kinds, least)
