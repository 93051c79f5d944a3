"""Parses S3 events."""

from __future__ import annotations

from typing import Any

from iac_ci_common.keys import parse_result


def wake_ups(event: dict[str, Any]) -> dict[str, frozenset[str]]:
    """Return the orders of an S3 event by run; test events and other keys are ignored.

    An order is its number, and ``<number>/<attempt>`` for a further attempt: two results of an order are two events.
    An event may have several records, and its keys are URL-encoded (Amazon S3 User Guide, "Event message structure").
    """
    found: dict[str, set[str]] = {}
    for record in event.get("Records", []):
        key = parse_result(record["s3"]["object"]["key"], url_encoded=True)
        if key is not None:
            further = f"/{key.attempt}" if key.attempt > 1 else ""
            found.setdefault(key.run_id, set()).add(f"{key.order_num}{further}")
    return {run_id: frozenset(order_nums) for run_id, order_nums in found.items()}
