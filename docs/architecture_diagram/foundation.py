"""Makes the boxes of what all others rest on: image, roles, key, parameters, alarms and log groups."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from docs.architecture_diagram.box import Box, cost
from docs.architecture_diagram.prices import Prices, dollars
from docs.architecture_diagram.stack import FOLDER, Stack
from docs.architecture_diagram.units import days

if TYPE_CHECKING:
    from docs.architecture_diagram.terraform import Terraform


def foundation(stack: Stack, terraform: Terraform, prices: Prices) -> list[Box]:
    """Return the boxes, in the order in which they are shown."""
    alarms = terraform.alarms(len(stack.functions))
    images = terraform.default("ecr", "kept_images")
    logs = days(terraform.default("deploy", "log_retention_days"))
    waiting = days(terraform.number("deploy/key.tf", 'resource "aws_kms_key" "runs"', "deletion_window_in_days"))
    untagged = days(terraform.number("ecr/repository.tf", 'resource "aws_ecr_lifecycle_policy" "image"', "countNumber"))
    roles = tuple(
        (f"`{name}`", f"trusts `{role['trusted_service']}`, policy `{role['policy']}`")
        for name, role in stack.roles.items()
    )
    optional = sorted(stack.policies.keys() - {role["policy"] for role in stack.roles.values()})
    return [
        Box(
            "ecr",
            "ECR",
            "foundation",
            "image",
            "one image for all",
            "One image, by digest, for every function and for the build project, each with a command of its own.",
            rows=(
                ("Retention", f"the newest {images} tagged images; images without a tag for {untagged}"),
                cost(prices.shown("ecr_gb_month", "GB and month"), prices, "ecr_gb_month"),
            ),
            sources=("Dockerfile", "terraform/ecr/repository.tf"),
            departures=("digest",),
        ),
        Box(
            "iam",
            "IAM roles",
            "foundation",
            "shield",
            f"{len(stack.roles)} roles, one each",
            "Every function, the state machine, the build project and the API have a role of their own with one "
            "policy. Each box lists the rights of its role.",
            rows=(
                *roles,
                ("Added on request", ", ".join(f"`{policy}`" for policy in optional)),
                ("Cost", "none"),
            ),
            sources=(f"{FOLDER}/roles.json", f"{FOLDER}/policies", "terraform/deploy/roles.tf"),
        ),
        Box(
            "kms",
            "KMS key",
            "foundation",
            "key",
            "seals secrets",
            "Encrypts the identities that secrets are sealed for, with stack, source and run as encryption context. "
            "init_job can only encrypt, the broker can only decrypt.",
            rows=(
                ("Rotation", f"by AWS, each year; a deleted key waits {waiting}"),
                cost(
                    f"{dollars(prices.one('kms_key_month'))} a month, {prices.shown('kms_request', 'request')}",
                    prices,
                    "kms_key_month",
                ),
            ),
            sources=("terraform/deploy/key.tf",),
            departures=("sealing-key",),
        ),
        Box(
            "parameters",
            "Parameters",
            "foundation",
            "document",
            "secrets, connections",
            "The webhook secret, the list of connected repositories and the stack's outputs. Secrets of jobs are below "
            "the jobs' prefix.",
            rows=(("Cost", "none for standard parameters"),),
            sources=(
                "terraform/deploy/webhook-secret.tf",
                "terraform/deploy/connections.tf",
                "terraform/deploy/outputs.tf",
            ),
        ),
        Box(
            "alarms",
            "Alarms",
            "foundation",
            "bell",
            f"{alarms} alarms · SNS",
            "Report errors, throttling, undelivered events, dead letters, stuck runs and failed watchdogs to a topic.",
            rows=(
                ("Number", f"{alarms}"),
                cost(f"{dollars(prices.one('alarm_month') * alarms)} a month", prices, "alarm_month"),
            ),
            sources=("terraform/deploy/alarms.tf", "docs/operations.md"),
            departures=("dead-letters",),
        ),
        Box(
            "tick",
            "Tick",
            "foundation",
            "machine",
            f"EventBridge · {stack.tick['schedule']}",
            "One rule invokes every function, so that none becomes inactive, and starts the regular tasks of init_job.",
            rows=(
                ("Functions", ", ".join(f"`{name}`" for name in stack.tick["functions"])),
                cost(
                    f"{dollars(_tick_month(stack, prices))} a month, if each invocation takes a second",
                    prices,
                    "lambda_request",
                    "lambda_gb_second",
                ),
            ),
            sources=("terraform/deploy/tick.tf", "terraform/deploy/stack/tick.json"),
            departures=("tick",),
        ),
        Box(
            "logs",
            "Log groups",
            "foundation",
            "log",
            f"CloudWatch · {logs}",
            "The engine's own logs: one group per function, build project, state machine and API. Logs of orders are "
            "in the internal bucket.",
            rows=(("Retention", logs), cost(prices.shown("log_gb", "GB"), prices, "log_gb")),
            sources=("terraform/deploy/functions.tf", "terraform/deploy/variables.tf"),
            departures=("dead-letters",),
        ),
    ]


def _tick_month(stack: Stack, prices: Prices) -> float:
    """Return what a month of ticks costs whose invocations take a second each, in dollars."""
    minutes = re.fullmatch(r"rate\((\d+) minutes\)", stack.tick["schedule"])
    if minutes is None:
        raise ValueError(f"the schedule {stack.tick['schedule']} is not a number of minutes")
    ticks = 30 * 24 * 60 / int(minutes[1])
    gigabytes = sum(stack.functions[name]["memory_mb"] for name in stack.tick["functions"]) / 1024
    requests = len(stack.tick["functions"]) * prices.one("lambda_request")
    return float(ticks * (gigabytes * prices.one("lambda_gb_second") + requests))
