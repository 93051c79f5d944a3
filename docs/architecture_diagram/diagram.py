"""Reads a checkout and arranges its boxes in the five parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docs.architecture_diagram.box import Box
from docs.architecture_diagram.boxes import boxes as boxes_of
from docs.architecture_diagram.departures import departures
from docs.architecture_diagram.parts import KINDS, Diagram, Flow, Map
from docs.architecture_diagram.pipeline import pipeline
from docs.architecture_diagram.prices import FILE as PRICES
from docs.architecture_diagram.prices import MEASURED, Prices, dollars
from docs.architecture_diagram.prices import read as read_prices
from docs.architecture_diagram.sequences import init, orchestration
from docs.architecture_diagram.stack import read as read_stack
from docs.architecture_diagram.terraform import Terraform
from docs.architecture_diagram.units import duration, shortest_life

from iac_ci_common import limits

if TYPE_CHECKING:
    from pathlib import Path

    from docs.architecture_diagram.stack import Stack


def diagram(root: Path) -> Diagram:
    """Read the checkout at ``root`` and arrange it."""
    stack, prices = read_stack(root), read_prices(root)
    boxes = boxes_of(stack, Terraform(root), prices)
    return Diagram(
        overview=_overview(stack, prices),
        init=init(stack, boxes),
        orchestration=orchestration(stack, boxes),
        resources=_resources(boxes),
        pipeline=pipeline(prices),
        departures=tuple(departures(stack)),
        facts=_facts(stack, prices),
    )


def _facts(stack: Stack, prices: Prices) -> tuple[tuple[str, str, str], ...]:
    internal = shortest_life(stack.buckets["internal"]["lifecycle"])
    return (
        ("0", "servers: nothing runs around the clock", "docs/deploy.md"),
        (
            internal,
            "until working data expires, by lifecycle and TTL",
            "terraform/deploy/stack/buckets.json",
        ),
        ("1 image", f"for {len(stack.functions)} Lambda functions and CodeBuild", "Dockerfile"),
        (
            dollars(round(prices.thousand_orders, 2)),
            "for 1,000 orders, estimated from a measured run, without the time of the commands",
            MEASURED,
        ),
    )


def _overview(stack: Stack, prices: Prices) -> Flow:
    return Flow(
        "overview",
        "System overview",
        "A pull request or a caller sends a job. The engine in your AWS account validates it, queues its orders, runs "
        "them in the order of their dependencies and reports.",
        boxes=(
            Box(
                "caller",
                "Code host or caller",
                "external",
                "people",
                "pull request event or API call",
                "GitHub, GitLab or Bitbucket sends events of connected repositories, each with the host's own proof. "
                "Any other caller signs a job.",
                rows=(
                    ("Sends", f"`{stack.api['method']} /{stack.api['path_part']}`"),
                    ("Signature", f"HMAC-SHA256, valid for {duration(limits.SIGNATURE_TOLERANCE_SECONDS)}"),
                    ("Limits", f"{limits.MAX_ORDERS:,} orders in a job, {limits.MAX_COMMANDS} commands in an order"),
                    ("Cost", "none"),
                ),
                sources=("docs/contract.md", "docs/pull-requests.md", "docs/providers.md"),
            ),
            Box(
                "account",
                "Your AWS account",
                "orchestration",
                "cloud",
                "validates, queues, executes",
                "Runs the whole engine. What it is made of is below, in Resources.",
                rows=(
                    ("Longest job", duration(limits.MAX_JOB_SECONDS)),
                    ("Watched", f"every {stack.poll_seconds} s by a Step Functions state machine"),
                    ("At once", f"{limits.DEFAULT_MAX_PARALLEL} orders of a run by default"),
                    (
                        "Cost",
                        f"about {dollars(round(prices.thousand_orders, 2))} for 1,000 orders; prices in `{PRICES}`",
                    ),
                ),
                sources=("docs/flow.md", "docs/security.md", MEASURED, PRICES),
            ),
            Box(
                "results",
                "Results",
                "external",
                "comment",
                "comment, status, logs",
                "The pull request shows one comment, edited while the run continues, and a commit status. Every run "
                "leaves one done marker.",
                rows=(
                    ("Retention", f"done marker {shortest_life(stack.buckets['done']['lifecycle'])}"),
                    ("Events", duration(limits.EVENT_RETENTION_SECONDS)),
                    ("Cost", "none beyond the calls of the engine"),
                ),
                sources=("docs/contract.md", "packages/iac-ci-vcs"),
            ),
        ),
        arrows=(f"{stack.api['method']} /{stack.api['path_part']}", "comment and status"),
    )


def _resources(boxes: dict[str, Box]) -> Map:
    groups = []
    for kind in KINDS:
        of_kind = tuple(sorted((box for box in boxes.values() if box.kind == kind), key=_rank))
        if of_kind:
            groups.append((kind, of_kind))
    return Map(
        "resources",
        "AWS resources",
        "All that Terraform makes. Lines show the main calls and writes; an open box lists all rights of its role.",
        groups=tuple(groups),
    )


def _rank(box: Box) -> int:
    """Return a position in a group: the watchdog stands between the orchestrator and its check."""
    return {"orchestrator": 0, "watchdog": 1}.get(box.name, 2)
