"""Runs that share an account's quotas all end, and none waits out of proportion."""

from __future__ import annotations

import re

import pytest
from fairness import measure

from simulation.faults import Quotas


@pytest.mark.parametrize(
    ("target", "quotas"),
    [("codebuild", Quotas(builds=6)), ("lambda", Quotas(functions=20))],
    ids=["builds", "functions"],
)
def test_no_run_waits_longer_than_three_times_the_median(target, quotas):
    line, broken = measure(100, target, quotas)
    print(line)
    assert line.startswith("100 of 100 runs")
    assert broken == 0
    times = re.search(r"\(([\d.]+) times the median\)", line)
    assert times is not None
    assert float(times[1]) <= 3
