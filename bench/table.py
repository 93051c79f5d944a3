"""Formats measurements as tables and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from bench.bill import bill

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.measuring import Measurement


def tables(measurements: Sequence[Measurement]) -> list[Table]:
    """Return three tables: totals per workload, AWS calls per order, and resources per function."""
    return [_overview(measurements), _operations(measurements), _functions(measurements)]


def _overview(measurements: Sequence[Measurement]) -> Table:
    table = Table(title="Workloads")
    for name in (
        "workload", "orders", "wall s", "bare s", "overhead", "warm", "calls/order", "warm calls/order",
        "serial/order", "events", "passes", "coalesced",
        "rows written", "rows read", "KB written", "KB read", "S3 KB in", "S3 KB out", "USD",
    ):  # fmt: skip
        table.add_column(name, justify="left" if name == "workload" else "right")
    for one in measurements:
        table.add_row(
            one.workload,
            str(one.orders),
            f"{one.wall:.1f}" + ("" if one.finish is None else f" ({one.finish:.1f})"),
            f"{one.bare:.1f}",
            f"{one.overhead:.2f}",
            "" if one.warm_overhead is None else f"{one.warm_overhead:.2f}",
            f"{one.calls_per_order:.2f}",
            "" if one.warm_calls_per_order is None else f"{one.warm_calls_per_order:.2f}",
            f"{one.serial / one.orders:.1f}",
            str(one.events),
            str(one.passes),
            str(one.coalesced),
            f"{one.total('rows_written'):.0f}",
            f"{one.total('rows_read'):.0f}",
            f"{one.total('row_bytes_written') / 1000:.0f}",
            f"{one.total('row_bytes_read') / 1000:.0f}",
            f"{one.total('bytes_sent', service='s3') / 1000:.0f}",
            f"{one.total('bytes_got', service='s3') / 1000:.0f}",
            f"{one.bill:.4f}",
        )
    return table


def _operations(measurements: Sequence[Measurement]) -> Table:
    table = Table(title="AWS calls for each order: init, orchestrator, worker")
    table.add_column("operation")
    for one in measurements:
        table.add_column(one.workload, justify="right")
    for name in dict.fromkeys(name for one in measurements for name in one.by_operation()):
        table.add_row(name, *(f"{one.by_operation().get(name, 0) / one.orders:.2f}" for one in measurements))
    return table


def _functions(measurements: Sequence[Measurement]) -> Table:
    table = Table(title="Functions: calls, seconds billed, peak MB")
    table.add_column("function")
    for one in measurements:
        table.add_column(one.workload, justify="right")
    for name in dict.fromkeys(name for one in measurements for name in one.spent):
        cells = (
            f"{one.spent[name].calls}, {one.spent[name].seconds:.1f} s, {one.peaks.get(name, 0):.0f}"
            for one in measurements
        )
        table.add_row(name, *cells)
    return table


def as_json(measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Return all measurements as JSON data."""
    return [
        {
            "workload": one.workload,
            "orders": one.orders,
            "runs": one.runs,
            "max_parallel": one.max_parallel,
            "wall_seconds": round(one.wall, 3),
            "bare_seconds": round(one.bare, 3),
            "finish_seconds": None if one.finish is None else round(one.finish, 3),
            "overhead": round(one.overhead, 3),
            "warm": None
            if one.warm is None
            else {
                "wall_seconds": one.warm.wall,
                "bare_seconds": one.warm.bare,
                "calls_per_order": one.warm_calls_per_order,
            },
            "calls_per_order": round(one.calls_per_order, 3),
            "serial_calls": one.serial,
            "calls": one.calls,
            "events": one.events,
            "passes": one.passes,
            "coalesced": one.coalesced,
            "rows_written": one.total("rows_written"),
            "rows_read": one.total("rows_read"),
            "row_bytes_written": one.total("row_bytes_written"),
            "row_bytes_read": one.total("row_bytes_read"),
            "s3_bytes_in": one.total("bytes_sent", service="s3"),
            "s3_bytes_out": one.total("bytes_got", service="s3"),
            "functions": {
                name: {"calls": spent.calls, "seconds": spent.seconds, "peak_mb": one.peaks.get(name)}
                for name, spent in one.spent.items()
            },
            "used": one.used,
            "bill_usd": {name: round(amount, 8) for name, amount in bill(one.used).items()},
        }
        for one in measurements
    ]
