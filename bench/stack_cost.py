"""Prints what a planned stack costs: ``terraform show -json PLAN | python -m bench.stack_cost``.

At rest it counts the planned resources; for 1,000 orders it prices what a measured run used (thousand_orders.json).
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.bill import FILE, bill

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MEASURED: Final = Path(__file__).with_name("thousand_orders.json")
MONTH_MINUTES: Final = 30 * 24 * 60

_BY_RESOURCE: Final = {
    "aws_kms_key": ("key", "kms_key_month"),
    "aws_cloudwatch_metric_alarm": ("alarm", "alarm_month"),
    "aws_cloudwatch_log_metric_filter": ("metric of a log filter", "metric_month"),
    "aws_cloudwatch_dashboard": ("dashboard", "dashboard_month"),
}
"""Resources that cost something without being used, with the name of their price."""

_BUILD: Final = "BUILD_GENERAL1_SMALL"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table: what, its cost in US dollars, and where its price is from."""

    item: str
    dollars: float
    source: str


def at_rest(resources: Sequence[Mapping[str, Any]], prices: Mapping[str, Any]) -> list[Line]:
    """Return what the planned resources cost in a month of 30 days without a run."""
    counts = Counter(resource["type"] for resource in resources)
    lines = [
        Line(
            f"{counts[kind]} {name}{'s' if counts[kind] > 1 else ''} at ${prices[price]['price']:.2f}",
            counts[kind] * _unit(prices, price),
            _source(prices, price),
        )
        for kind, (name, price) in _BY_RESOURCE.items()
        if counts[kind]
    ]
    return [*lines, _tick(resources, prices)]


def _tick(resources: Sequence[Mapping[str, Any]], prices: Mapping[str, Any]) -> Line:
    (rule,) = [one["values"] for one in resources if one["address"] == "aws_cloudwatch_event_rule.tick"]
    minutes = re.fullmatch(r"rate\((\d+) minutes\)", rule["schedule_expression"])
    if minutes is None:
        raise ValueError(f"the schedule {rule['schedule_expression']} is not a number of minutes")
    called = {one["index"] for one in resources if one["address"].startswith("aws_cloudwatch_event_target.tick[")}
    memory = [
        one["values"]["memory_size"]
        for one in resources
        if one["type"] == "aws_lambda_function" and one["index"] in called
    ]
    ticks = MONTH_MINUTES / int(minutes[1])
    dollars = ticks * (
        sum(memory) / 1024 * _unit(prices, "lambda_gb_second") + len(memory) * _unit(prices, "lambda_request")
    )
    return Line(
        f"tick: {len(memory)} functions every {minutes[1]} minutes, a second each",
        dollars,
        _source(prices, "lambda_gb_second"),
    )


def thousand_orders(resources: Sequence[Mapping[str, Any]], prices: Mapping[str, Any]) -> list[Line]:
    """Return what 1,000 orders cost: the engine's part, and what a minute of commands adds in both places."""
    measured = json.loads(MEASURED.read_text("utf-8"))
    costs = bill(measured["quantities"])
    groups = {
        "S3 requests": ("s3_put", "s3_get"),
        "DynamoDB units": ("dynamodb_write_unit", "dynamodb_read_unit"),
        "Lambda: engine and start of workers": ("lambda_request", "lambda_gb_second"),
        "Step Functions, API Gateway, EventBridge, KMS": (
            "step_functions_transition",
            "api_gateway_request",
            "event",
            "kms_request",
        ),
    }
    engine = [
        Line(item, sum(costs[name] for name in names), _source(prices, names[0])) for item, names in groups.items()
    ]
    (worker,) = [
        one["values"]["memory_size"]
        for one in resources
        if one["type"] == "aws_lambda_function" and one["index"] == "worker"
    ]
    minute = Line(
        f"a minute of commands in Lambda, {worker:,} MB",
        1000 * 60 * worker / 1024 * _unit(prices, "lambda_gb_second"),
        _source(prices, "lambda_gb_second"),
    )
    return [*engine, minute, *_builds(resources, prices)]


def _builds(resources: Sequence[Mapping[str, Any]], prices: Mapping[str, Any]) -> Iterator[Line]:
    """Return the cost of builds, if the planned machine is one whose price is listed."""
    machines = {
        one["values"]["environment"][0]["compute_type"] for one in resources if one["type"] == "aws_codebuild_project"
    }
    if machines == {_BUILD}:
        item = "a started minute of commands in CodeBuild, small"
        yield Line(item, 1000 * _unit(prices, "codebuild_small_minute"), _source(prices, "codebuild_small_minute"))


def table(plan: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table for a plan as ``terraform show -json`` prints it."""
    document = json.loads(FILE.read_text("utf-8"))
    prices = document["prices"] | document["other_prices"]
    resources = plan["planned_values"]["root_module"]["resources"]
    rest, orders = at_rest(resources, prices), thousand_orders(resources, prices)
    engine = [line for line in orders if "commands" not in line.item]
    commands = [line for line in orders if "commands" in line.item]
    return [
        f"List prices of {document['region']} in {document['currency']}, without free tiers",
        "",
        *_rows("At rest, a month", rest),
        "",
        *_rows("1,000 orders, without the time of their commands", engine),
        "",
        "1,000 orders, in addition",
        *map(_row, commands),
    ]


def _rows(title: str, lines: Sequence[Line]) -> list[str]:
    total = Line("in all", sum(line.dollars for line in lines), "")
    return [title, *map(_row, lines), _row(total)]


def _row(line: Line) -> str:
    return f"  {line.item:<54}{line.dollars:>9.4f}  {line.source}".rstrip()


def _unit(prices: Mapping[str, Any], name: str) -> float:
    return float(prices[name]["price"]) / float(prices[name]["per"])


def _source(prices: Mapping[str, Any], name: str) -> str:
    return f"{prices[name]['source']}, {prices[name]['date']}"


def main() -> None:
    """Read a plan from standard input and print its table; exit with 2 if it is none of the deploy stage."""
    try:
        lines = table(json.load(sys.stdin))
    except (KeyError, TypeError, ValueError) as error:
        print(f"this is no plan of terraform/deploy as `terraform show -json` prints it: {error!r}", file=sys.stderr)
        sys.exit(2)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
