"""Makes a box of everything that the stack's files name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from docs.architecture_diagram.box import Box, cost
from docs.architecture_diagram.foundation import foundation
from docs.architecture_diagram.prices import Prices, dollars
from docs.architecture_diagram.stack import FOLDER, Stack
from docs.architecture_diagram.texts import PACKAGES, TEXTS, Text
from docs.architecture_diagram.units import days, duration, lifecycle, megabytes, shortest_life

from iac_ci_common import limits

if TYPE_CHECKING:
    from docs.architecture_diagram.terraform import Terraform


def boxes(stack: Stack, terraform: Terraform, prices: Prices) -> dict[str, Box]:
    """Return all boxes of the stack by name, whether or not ``texts.py`` knows them."""
    made = [
        _api(stack, prices),
        *(_function(name, function, stack, prices) for name, function in stack.functions.items()),
        *(_build(f"build-{name}", project, stack, prices) for name, project in stack.projects.items()),
        _watchdog(stack, prices),
        *(_bucket(name, bucket, terraform, prices) for name, bucket in stack.buckets.items()),
        *(_table(name, table, prices) for name, table in stack.tables.items()),
        *(_failure_queue(name, terraform, prices) for name in stack.queues),
        *foundation(stack, terraform, prices),
    ]
    return {box.name: box for box in made}


def _api(stack: Stack, prices: Prices) -> Box:
    api = stack.api
    text = TEXTS["api"]
    return Box(
        "api",
        "API Gateway",
        text.kind,
        "gateway",
        f"{api['method']} /{api['path_part']}",
        text.role,
        rows=(
            ("Name", f"`{_stack_name(api['name'])}`, stage `{api['stage']}`"),
            ("Started by", text.started),
            ("Time-out", duration(api["integration_timeout_ms"] // 1000)),
            (
                "Throttling",
                f"{api['throttling_rate_per_second']} requests a second, bursts of {api['throttling_burst']}",
            ),
            ("Largest body", f"{api['maximum_body_bytes']:,} bytes"),
            cost(prices.shown("api_gateway_request", "request"), prices, "api_gateway_request"),
        ),
        rights=tuple(stack.rights(api["role"])),
        sources=(f"{FOLDER}/api.json", *text.sources),
        targets=text.targets,
    )


def _function(name: str, function: dict[str, Any], stack: Stack, prices: Prices) -> Box:
    text = TEXTS.get(name) or Text("orchestration", function["description"])
    memory, asynchronous = function["memory_mb"], function["asynchronous"]
    (failure,) = asynchronous["on_failure"].values()
    retries = asynchronous["maximum_retry_attempts"]
    age = duration(asynchronous["maximum_event_age_seconds"])
    minute = dollars(prices.one("lambda_gb_second") * memory / 1024 * 60)
    return Box(
        name,
        text.title or name,
        text.kind,
        "function",
        f"{function['timeout_seconds']} s · {megabytes(memory)}",
        text.role,
        rows=(
            ("Name", f"`<stack>-{name}`, a Lambda function"),
            *([("Started by", text.started)] if text.started else []),
            ("Time-out", duration(function["timeout_seconds"])),
            ("Memory", f"{megabytes(memory)}, and {megabytes(function['ephemeral_storage_mb'])} in `/tmp`"),
            (
                "Asynchronous",
                (
                    f"{retries or 'no'} {'retry' if retries == 1 else 'retries'}; an event waits {age} at most; what "
                    f"failed for good goes to `{failure}`"
                ),
            ),
            cost(
                f"{minute} a minute at {megabytes(memory)}, and {prices.shown('lambda_request', 'request')}",
                prices,
                "lambda_gb_second",
                "lambda_request",
            ),
        ),
        rights=tuple(stack.rights(function["role"])),
        sources=(f"{FOLDER}/functions.json", *([PACKAGES[name]] if name in PACKAGES else []), *text.sources),
        departures=text.departures,
        targets=tuple(target for target in text.targets),
    )


def _build(name: str, project: dict[str, Any], stack: Stack, prices: Prices) -> Box:
    text = TEXTS.get(name) or Text("execution", project["description"])
    hours = limits.MAX_CODEBUILD_ORDER_SECONDS // 3600
    priced = project["compute_type"] == "BUILD_GENERAL1_SMALL"
    return Box(
        name,
        text.title or name,
        text.kind,
        "build",
        f"up to {project['timeout_minutes']} min",
        text.role,
        rows=(
            ("Name", f"`<stack>-{name.removeprefix('build-')}`, a CodeBuild project"),
            ("Started by", text.started or "the orchestrator"),
            (
                "Time-out",
                f"{project['timeout_minutes']} min; {project['queued_timeout_minutes']} min in CodeBuild's queue",
            ),
            ("Longest order", f"{hours} h"),
            ("Machine", f"`{project['compute_type']}`, {'privileged' if project['privileged'] else 'not privileged'}"),
            cost(prices.shown("codebuild_small_minute", "started minute"), prices, "codebuild_small_minute")
            if priced
            else ("Cost", "by the minute of that machine; the price list has no price of it"),
        ),
        rights=tuple(stack.rights(project["role"])),
        sources=(f"{FOLDER}/builds.json", *text.sources),
        departures=text.departures,
        targets=text.targets,
    )


def _watchdog(stack: Stack, prices: Prices) -> Box:
    text, machine = TEXTS["watchdog"], stack.watchdog
    check = machine["States"]["Check"]
    attempts = sum(retry["MaxAttempts"] for retry in check["Retry"])
    return Box(
        "watchdog",
        text.title,
        text.kind,
        "machine",
        f"checks every {stack.poll_seconds} s",
        text.role,
        rows=(
            ("Name", "`<stack>-watchdog`, a Step Functions state machine"),
            ("Started by", "init_job; the orchestrator, if it has ended before its run"),
            ("Schedule", f"every {stack.poll_seconds} s until the run has ended"),
            ("Time-out", f"{duration(machine['TimeoutSeconds'])}; one check {duration(check['TimeoutSeconds'])}"),
            ("Retries", f"{attempts} for a failed check, then the next poll"),
            cost(
                f"{dollars(prices.watchdog)} for a run of less than a minute, {dollars(prices.watchdog_minute)} for "
                "each further minute",
                prices,
                "step_functions_transition",
            ),
        ),
        rights=tuple(stack.rights("watchdog-state-machine")),
        sources=(f"{FOLDER}/watchdog.asl.json", *text.sources),
        departures=text.departures,
        targets=text.targets,
    )


def _bucket(name: str, bucket: dict[str, Any], terraform: Terraform, prices: Prices) -> Box:
    text = TEXTS.get(name) or Text("storage", bucket["description"])
    rules, notification = bucket["lifecycle"], bucket["notification"]
    rows = [
        ("Name", f"`<stack>-{name}-<account>-<region>`"),
        ("Lifecycle", lifecycle(rules)),
    ]
    if bucket["versioned"]:
        kept = terraform.default("bootstrap", "old_state_days") if name == "state" else None
        rows.append(("Versions", "kept" if kept is None else f"replaced versions expire after {days(kept)}"))
    if notification:
        rows.append(
            (
                "Notification",
                (
                    f"`{', '.join(notification['events'])}` on `{notification['prefix']}…{notification['suffix']}` "
                    f"starts {notification['function']}"
                ),
            )
        )
    rows.append(
        cost(
            f"{prices.shown('s3_put', 'put')}, {prices.shown('s3_get', 'get')}, "
            f"{prices.shown('s3_gb_month', 'GB and month')}",
            prices,
            "s3_put",
            "s3_gb_month",
        )
    )
    brief = f"{text.brief} · {shortest_life(rules)}" if text.brief else shortest_life(rules)
    return Box(
        name,
        text.title or f"S3 {name}",
        text.kind,
        "bucket",
        brief,
        text.role,
        rows=tuple(rows),
        sources=(f"{FOLDER}/buckets.json", *text.sources),
        departures=text.departures,
        targets=text.targets,
    )


_TIME_TO_LIVE: Final = {
    "orders": ("1 day", f"{duration(limits.RETENTION_SECONDS)} after the run's deadline"),
    "order-events": (f"{limits.EVENT_RETENTION_SECONDS // 86400} days", duration(limits.EVENT_RETENTION_SECONDS)),
    "locks": ("by entry", f"by entry: a run's lock {duration(limits.MAX_JOB_SECONDS + limits.RETENTION_SECONDS)}"),
}
"""How long rows live, on the closed box and on the open one. The code sets it; a table only names the attribute."""


def _table(name: str, table: dict[str, Any], prices: Prices) -> Box:
    text = TEXTS.get(name) or Text("storage", f"Table {name}.")
    short, long = _TIME_TO_LIVE.get(name, ("", ""))
    keys = f"partition `{table['hash_key']['name']}`"
    if table["range_key"]:
        keys += f", sort `{table['range_key']['name']}`"
    indexes = [
        f"`{index['name']}`: partition `{index['hash_key']['name']}`, sort `{index['range_key']['name']}`"
        for index in table["indexes"]
    ]
    return Box(
        name,
        text.title or name,
        text.kind,
        "table",
        f"DynamoDB · TTL {short}" if short else "DynamoDB",
        text.role,
        rows=(
            ("Name", f"`<stack>-{name}`, on demand"),
            ("Keys", keys),
            *([("Indexes", "; ".join(indexes))] if indexes else []),
            ("Time to live", f"{long}, in `{table['ttl_attribute']}`" if long else f"in `{table['ttl_attribute']}`"),
            cost(
                f"{prices.shown('dynamodb_write_unit', 'write unit')}, "
                f"{prices.shown('dynamodb_read_unit', 'read unit')}, "
                f"{prices.shown('dynamodb_gb_month', 'GB and month')}",
                prices,
                "dynamodb_write_unit",
                "dynamodb_gb_month",
            ),
        ),
        sources=(
            f"{FOLDER}/tables.json",
            "terraform/deploy/tables.tf",
            "packages/iac-ci-common/src/iac_ci_common/limits.py",
        )
        if long
        else (f"{FOLDER}/tables.json", "terraform/deploy/tables.tf"),
        departures=text.departures,
        targets=text.targets,
    )


def _failure_queue(name: str, terraform: Terraform, prices: Prices) -> Box:
    text = TEXTS.get(name) or Text("foundation", f"Queue {name}.")
    resource = f'resource "aws_sqs_queue" "{name.replace("-", "_")}"'
    kept = duration(terraform.number("deploy/functions.tf", resource, "message_retention_seconds"))
    return Box(
        name,
        name,
        text.kind,
        "queue",
        f"SQS · {kept}",
        text.role,
        rows=(
            ("Name", f"`<stack>-{name}`, an SQS queue"),
            ("Retention", kept),
            cost(prices.shown("sqs_request", "request"), prices, "sqs_request"),
        ),
        sources=text.sources,
        departures=text.departures,
    )


def _stack_name(name: str) -> str:
    return name.replace("${stack}", "<stack>")
