"""Every AWS call of the orchestrator goes wrong once, in every way."""

from __future__ import annotations

import pytest

from faults.sweep import SWEPT, broken_by_any_call, named

SWEEPS = [
    ("orchestrator", "all goes well", 25),
    ("orchestrator", "workers die", 15),
    ("orchestrator", "there is no code", 5),
]
"""Function, story, and the least number of calls that there are to go wrong."""


@pytest.mark.parametrize("kinds", SWEPT, ids=named)
@pytest.mark.parametrize(("function", "story", "least"), SWEEPS)
def test_whatever_call_goes_wrong_the_promises_hold(services, monkeypatch, function, story, least, kinds):
    broken, calls = broken_by_any_call(services, monkeypatch, function, story, kinds)
    assert not broken, "\n".join(broken)
    assert calls >= least, f"only {calls} calls of {function} could go wrong"
