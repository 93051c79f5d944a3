"""Finds a run by its id, and an order of it by its name or number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.usage_messages import did_you_mean
from iac_ci_common import keys

if TYPE_CHECKING:
    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import Objects, RunRows, Runs


def find_run(runs: Runs, internal: Objects, run: str) -> RunRows:
    """Return a run's rows; one that is not prepared yet has none. ``run`` is a checked id.

    Raises ``CommandFailed`` for an unknown run.
    """
    rows = runs.read(run)
    if rows.run is None and not internal.exists(keys.job(run)):
        hint = "Runs are forgotten a day after their deadline. Is this the right stack?"
        raise CommandFailed(f"there is no run {run}", exit_code=ExitCode.BAD_INPUT, hint=hint)
    return rows


def find_order(rows: RunRows, run: str, order: str) -> OrderRow:
    """Return the order of this name, else of this number (``1`` and ``0001``). Raises ``CommandFailed``."""
    by_name = {row.order_name: row for row in rows.orders}
    if order in by_name:
        return by_name[order]
    if order.isascii() and order.isdigit() and len(order) <= 8:
        for row in rows.orders:
            if int(row.order_num) == int(order):
                return row
    if not rows.orders:
        raise CommandFailed(f"run {run} is being prepared: it has no orders yet", exit_code=ExitCode.BAD_INPUT)
    message = f"run {run} has no order {order[:60]!r}{did_you_mean(order, list(by_name))}"
    raise CommandFailed(message, exit_code=ExitCode.BAD_INPUT, hint=f"Its orders: {names(list(by_name))}.")


def names(found: list[str], most: int = 20) -> str:
    """Return a list of names for a message, at most ``most`` of them."""
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more if found else "none"
