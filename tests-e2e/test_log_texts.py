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
    MemoryAsyncInvoker,
    MemoryEventBus,
    MemoryGroups,
    MemoryLastWrites,
    MemoryLocks,
    MemoryObjects,
    MemoryPlans,
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
    locks = MemoryLocks()
    ports = OrchestratorPorts(
        clock, runs, locks, MemoryLastWrites(runs, locks), objects, MemoryObjects(clock), Busy(), MemoryWatchdogs(),
        MemoryReports(),
        MemoryPlans(clock), MemoryAsyncInvoker(), MemoryGroups(clock), MemoryEventBus(), Sequential(),
        logger,
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


LAMBDA_LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def lambda_keeps(line, level):
    """Filter a line as Lambda does: without an RFC 3339 timestamp and a known level it counts as INFO."""
    try:
        fields = json.loads(line)
    except ValueError:
        fields = {}
    is_known = fields.get("level") in LAMBDA_LEVELS and RFC_3339.fullmatch(str(fields.get("timestamp", "")))
    own = fields["level"] if is_known else "INFO"
    return LAMBDA_LEVELS.index(own) >= LAMBDA_LEVELS.index(level)


def application_log_level(log_level):
    """Return what terraform/deploy/functions.tf makes of the variable."""
    text = (ROOT / "terraform" / "deploy" / "functions.tf").read_text("utf-8")
    assert 'application_log_level = var.log_level == "WARNING" ? "WARN" : var.log_level' in text
    return "WARN" if log_level == "WARNING" else log_level


def log_levels():
    """Return the levels that the variable accepts."""
    text = (ROOT / "terraform" / "deploy" / "variables.tf").read_text("utf-8")
    return json.loads(re.search(r"contains\((\[[^\]]*\]), var\.log_level\)", text)[1])


@pytest.mark.parametrize("log_level", log_levels())
def test_lambdas_filter_keeps_what_the_function_writes(capsys, log_level):
    logger = PowertoolsLogger(f"filter-{log_level}", log_level).bind(run_id=RUN_ID)
    for write in (logger.info, logger.warning, logger.error):
        write("watchdog repaired run", action="nudge")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == (2 if log_level == "WARNING" else 3)
    assert all(lambda_keeps(line, application_log_level(log_level)) for line in lines)
    # The alarm for stuck runs counts warnings, so no level may hide them.
    assert any(json.loads(line)["level"] == "WARN" for line in lines)


def test_lambdas_filter_drops_what_a_function_at_warning_must_not_store(capsys):
    PowertoolsLogger("filter-info").info("progress")
    assert not lambda_keeps(capsys.readouterr().out, "WARN")


@pytest.mark.parametrize(
    "line",
    [
        '{"level": "ERROR", "timestamp": "2026-01-01 12:00:00,123+0000"}',
        '{"level": "WARNING", "timestamp": "2026-01-01T12:00:00.123+00:00"}',
        '{"level": "ERROR"}',
        "ERROR",
    ],
)
def test_the_filter_is_as_strict_as_lambdas(line):
    assert not lambda_keeps(line, "WARN")
