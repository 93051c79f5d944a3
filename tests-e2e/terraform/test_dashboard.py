"""The dashboard shows the metrics that the engine writes, all of them and no others."""

from __future__ import annotations

import itertools
import json
import re
from datetime import timedelta

import pytest

from iac_ci_common import keys
from iac_ci_common.logger import PowertoolsLogger
from iac_ci_common.metric_lines import metric_lines
from iac_ci_common.metrics import Metric
from iac_ci_common.models.result import Claim, Reporter, Result
from iac_ci_common.models.watch import Watch
from iac_ci_common.states import OrderState, RunState
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
from iac_ci_watchdog.act import Watchdog
from iac_ci_watchdog.ports import WatchdogPorts
from terraform.stage import ROOT, SECRET, STACK

pytestmark = pytest.mark.slow

_SERVICES = itertools.count()
"""Loggers of one service share a stream, which each test has of its own."""


@pytest.fixture(scope="module")
def planned(stages, tmp_path_factory):
    """Return the resources of a plan with the dashboard, by address, and those of one without it."""
    stage = stages["deploy"].copy(tmp_path_factory.mktemp("dashboard") / "deploy")

    def resources(**variables):
        plan = stage.plan(webhook_secret=SECRET, **variables)
        return {one["address"]: one.get("values", {}) for one in plan["planned_values"]["root_module"]["resources"]}

    return resources(dashboard="true"), resources()


@pytest.fixture(scope="module")
def body(planned):
    return json.loads(planned[0]["aws_cloudwatch_dashboard.engine[0]"]["dashboard_body"])


def environment(resources, name):
    (block,) = resources[f'aws_lambda_function.function["{name}"]']["environment"]
    return block["variables"]


def shown(body):
    """Return the metrics of all widgets: namespace, name, dimensions."""
    for widget in body["widgets"]:
        for metric in widget["properties"]["metrics"]:
            namespace, *rest = [part for part in metric if not isinstance(part, dict)] or [None]
            if namespace is not None:
                yield namespace, rest[0], tuple(rest[1:])


class Engine:
    """The orchestrator and the watchdog with metrics, on ports in memory."""

    def __init__(self, namespace, *, level="INFO"):
        self.clock, self.runs, self.locks = FakeClock(START), MemoryRuns(), MemoryLocks()
        self.objects = MemoryObjects(self.clock)
        logger = PowertoolsLogger(f"metrics-{next(_SERVICES)}", level)
        metrics = metric_lines(logger, self.clock, namespace=namespace, stack=STACK, level=level)
        self._orchestrator = Orchestrator(
            OrchestratorPorts(
                self.clock, self.runs, self.locks, MemoryLastWrites(self.runs, self.locks), self.objects,
                MemoryObjects(self.clock), MemoryWorkers(), MemoryWatchdogs(), MemoryReports(),
                MemoryPlans(self.clock), MemoryAsyncInvoker(),
                MemoryGroups(self.clock), MemoryEventBus(), Sequential(), logger, metrics,
            )
        )  # fmt: skip
        self._watchdog = Watchdog(
            WatchdogPorts(
                self.clock, self.runs, self.locks, self.objects, MemoryWorkers(), MemoryAsyncInvoker(), Sequential(),
                logger, metrics,
            )
        )  # fmt: skip

    def play(self, state):
        """Play a run of two orders to its end."""
        self.runs.insert(*queued([{"queue_id": "a"}, {"dependencies": ["a"]}]))
        self._orchestrator.wake(RUN_ID)
        claim = Claim(run_id=RUN_ID, order_num="0001", claimed_by=Reporter.WORKER, claimed_at=self.clock.now())
        self.objects.create(keys.claim(RUN_ID, "0001"), claim.model_dump_json().encode())
        self.clock.advance(90)
        self._watchdog.check(Watch(run_id=RUN_ID))
        if state is RunState.CANCELLED:
            self.runs.request_cancel(RUN_ID, "by a test")
        for number in ("0001", "0002"):
            ended = OrderState(state.value) if state is not RunState.CANCELLED else OrderState.SUCCEEDED
            began = START + timedelta(seconds=12)
            result = Result(
                run_id=RUN_ID, order_num=number, status=ended, reported_by=Reporter.WORKER, started_at=began,
                ended_at=self.clock.now(),
            )  # fmt: skip
            self.objects.put(keys.result(RUN_ID, number), result.model_dump_json().encode())
            self._orchestrator.wake(RUN_ID, {number})


def lines(capsys):
    written = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in written if "_aws" in line]


def recorded(lines):
    """Return the metrics that CloudWatch reads from log lines: namespace, name, dimensions and value."""
    for line in lines:
        for directive in line["_aws"]["CloudWatchMetrics"]:
            (dimensions,) = directive["Dimensions"]
            values = tuple(part for name in dimensions for part in (name, line[name]))
            for metric in directive["Metrics"]:
                yield directive["Namespace"], metric["Name"], values, line[metric["Name"]]


def test_each_metric_of_the_dashboard_is_written_and_each_written_one_is_shown(planned, body, capsys):
    namespace = environment(planned[0], "orchestrator")["IAC_CI_METRICS_NAMESPACE"]
    assert environment(planned[0], "watchdog-check")["IAC_CI_METRICS_NAMESPACE"] == namespace
    for state in (RunState.SUCCEEDED, RunState.FAILED, RunState.TIMED_OUT, RunState.CANCELLED):
        Engine(namespace).play(state)
    written = {(namespace, name, dimensions) for namespace, name, dimensions, _ in recorded(lines(capsys))}
    own = {metric for metric in shown(body) if not metric[0].startswith("AWS/")}
    assert written == own
    assert {name for _, name, _ in own} == set(Metric)


def test_what_is_written_is_what_happened(capsys):
    Engine("iac-ci/acme").play(RunState.FAILED)
    values = {name: value for _, name, _, value in recorded(lines(capsys))}
    assert values == {
        Metric.RUNS_FAILED: 1,
        Metric.SECONDS_TO_FIRST_COMMAND: 12,
        Metric.OPEN_RUN_SECONDS: 90,
        Metric.WAITING_ORDERS: 1,
    }


def test_a_stack_without_a_dashboard_writes_no_metric(planned, capsys):
    assert not [address for address in planned[1] if "dashboard" in address]
    assert environment(planned[1], "orchestrator")["IAC_CI_METRICS_NAMESPACE"] == ""
    Engine("").play(RunState.SUCCEEDED)
    assert lines(capsys) == []


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING"])
def test_lambdas_filter_keeps_the_lines_at_every_level(capsys, level):
    Engine("iac-ci/acme", level=level).play(RunState.SUCCEEDED)
    written = lines(capsys)
    assert written
    assert {line["level"] for line in written} == {"WARN" if level == "WARNING" else "INFO"}


def test_prices_are_those_of_the_price_list():
    text = (ROOT / "terraform/deploy/dashboard.tf").read_text("utf-8")
    block = re.search(r"prices = \{\n(.*?)\n  \}", text, re.DOTALL)[1]
    named = {name: float(price) for name, price in re.findall(r"(\w+) += ([\d.]+)", block)}
    listed = json.loads((ROOT / "bench/prices.json").read_text("utf-8"))
    entries = listed["prices"] | listed["other_prices"]
    assert named == {name: entries[name]["price"] / entries[name]["per"] for name in named}
    assert len(named) == 4


def test_the_cost_adds_every_function_and_table_and_the_builds(planned, body):
    (cost,) = [widget for widget in body["widgets"] if "Cost" in widget["properties"]["title"]]
    metrics = cost["properties"]["metrics"]
    ids = {metric[-1]["id"] for metric in metrics if len(metric) > 1}
    expressions = [metric[0]["expression"] for metric in metrics if len(metric) == 1]
    assert set(re.findall(r"FILL\((\w+),0\)", "+".join(expressions))) == ids
    functions = {
        values["function_name"] for address, values in planned[0].items() if address.startswith("aws_lambda_function.")
    }
    tables = {values["name"] for address, values in planned[0].items() if address.startswith("aws_dynamodb_table.")}
    named = {dimension for _, _, dimensions in shown({"widgets": [cost]}) for dimension in dimensions}
    assert functions | tables | {f"{STACK}-worker"} == named - {"FunctionName", "TableName", "ProjectName"}
