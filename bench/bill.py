"""Estimates the cost of a workload on AWS from its counts and list prices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.durations import Spent

FILE: Final = Path(__file__).with_name("prices.json")
TRANSITIONS_OF_A_WATCHDOG: Final = 4
"""Wait, Check, choice, end: for a run that ends within the first minute. Each further minute adds three."""

_S3_LIKE_PUT: Final = frozenset({"PutObject", "ListObjectsV2"})


def quantities(
    calls: Sequence[Mapping[str, Any]], spent: Mapping[str, Spent], memory_mb: Mapping[str, int], *, requests: int
) -> dict[str, float]:
    """Return the quantity of each priced item.

    ``requests`` is the number of webhook requests, each of which starts a run. A run has one watchdog: a pass asks for
    it again, and Step Functions then starts no other.
    """

    def total(field: str, service: str, operations: frozenset[str] | None = None) -> float:
        return sum(
            float(row[field])
            for row in calls
            if row["service"] == service and (operations is None or row["operation"] in operations)
        )

    return {
        "lambda_request": sum(function.calls for function in spent.values()),
        "lambda_gb_second": sum(
            function.seconds * memory_mb[name] / 1024 for name, function in spent.items() if function.calls
        ),
        "dynamodb_write_unit": total("write_units", "dynamodb"),
        "dynamodb_read_unit": total("read_units", "dynamodb"),
        "s3_put": total("calls", "s3", _S3_LIKE_PUT),
        "s3_get": total("calls", "s3", frozenset({"GetObject", "HeadObject"})),
        "step_functions_transition": requests * TRANSITIONS_OF_A_WATCHDOG,
        "api_gateway_request": requests,
        "event": total("calls", "events"),
        "kms_request": total("calls", "kms"),
    }


def bill(used: Mapping[str, float]) -> dict[str, float]:
    """Return the cost of each quantity, in US dollars."""
    prices = json.loads(FILE.read_text("utf-8"))["prices"]
    return {name: amount * prices[name]["price"] / prices[name]["per"] for name, amount in used.items()}
