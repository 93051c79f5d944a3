"""What alarms, filters and documents quote of the log is what the functions write."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from terraform.log_patterns import matches

from iac_ci_common.errors import Throttled
from iac_ci_common.logger import PowertoolsLogger
from iac_ci_common.testing import (
    FakeClock,
    MemoryLocks,
    MemoryObjects,
    MemoryRuns,
    MemoryWatchdogs,
    MemoryWorkers,
    Sequential,
)
from iac_ci_common.testing.samples import RUN_ID, START, queued
from iac_ci_orchestrator.act import Orchestrator
from iac_ci_orchestrator.ports import OrchestratorPorts
from iac_ci_vcs.testing import MemoryReports

ROOT = Path(__file__).resolve().parent.parent
LINE = json.dumps({"message": "watchdog repaired run", "action": "nudge", "number": 3, "deep": {"er": "x"}})


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ('{ $.message = "watchdog repaired run" }', True),
        ('{ $.message = "watchdog" }', False),
        ('{ $.message = "watchdog*" }', True),
        ('{ $.message = "[watchdog]*" }', False),
        ('{ ($.message = "no") || ($.action = "nudge") && ($.number = 3) }', True),
        ('{ (($.message = "no") || ($.action = "nudge")) && ($.number = 4) }', False),
        ('{ $.action != "wait" }', True),
        ('{ $.absent != "wait" }', False),
        ('{ $.deep.er = "x" }', True),
    ],
)
def test_patterns_are_read_as_cloudwatch_reads_them(pattern, found):
    assert matches(pattern, LINE) is found
    assert not matches(pattern, "no JSON")


@pytest.mark.parametrize("pattern", ["ERROR", '{ $.a = "x"', '{ $.a = "x" } more', "{ $.a > 3 }", "{ $.a IS NULL }"])
def test_a_pattern_that_is_not_understood_is_never_judged(pattern):
    with pytest.raises(ValueError, match=r"more|missing|understood|comparison"):
        matches(pattern, LINE)


def test_a_dispatch_that_failed_is_told_in_the_words_that_the_documents_quote(capsys):
    class Busy(MemoryWorkers):
        def start_lambda(self, work):
            raise Throttled("Rate exceeded")

    clock, runs = FakeClock(START), MemoryRuns()
    runs.insert(*queued([{}]))
    objects = MemoryObjects(clock)
    logger = PowertoolsLogger("orchestrator")
    ports = OrchestratorPorts(
        clock, runs, MemoryLocks(), objects, MemoryObjects(clock), Busy(), MemoryWatchdogs(), MemoryReports(),
        Sequential(), logger,
    )  # fmt: skip
    with pytest.raises(Throttled):
        Orchestrator(ports).wake(RUN_ID)
    line = json.loads(capsys.readouterr().out)
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    quotes = re.findall(r"`(dispatch failed[^`]*)`", page)
    assert quotes
    assert all(quoted in line["message"] for quoted in quotes)
    query = re.search(r"```text\nfields ([^\n]*)\n\| filter (\w+) = ", page)
    assert query is not None
    assert line[query[2]] == RUN_ID
    asked = {name for name in query[1].split(", ") if not name.startswith("@")}
    # `seen` is the watchdog's alone: tests-e2e/terraform/test_one_source.py writes its lines.
    assert asked - {"seen"} <= set(line)
