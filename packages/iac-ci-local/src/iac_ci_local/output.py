"""Prints the output of a run's commands after ``iac-ci local run``, whose cloud ends with the command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from iac_ci_common import keys
from iac_ci_common.errors import IacCiError
from iac_ci_common.models.result import Result
from iac_ci_vcs.reporting.markdown import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import Objects

MAX_LINES: Final = 500
"""Lines of one order's output that are printed, the last ones."""


def print_output(console: Console, internal: Objects, orders: Sequence[OrderRow], *, more: str) -> None:
    """Print the output of every order that ran; ``more`` says how to read longer output."""
    for order in orders:
        if order.dispatched_at is None:
            continue
        reason = f": {plain(order.reason)}" if order.reason else ""
        console.print(Text(f"\n── {order.order_name}: {order.status.value.replace('_', ' ')}{reason}", "bold"))
        output = _output(internal, order)
        if output is None:
            console.print(Text("  (the output was not stored)", "dim"))
            continue
        lines = plain(output).splitlines()
        if len(lines) > MAX_LINES:
            console.print(Text(f"  … {len(lines) - MAX_LINES} earlier lines; {more}", "dim"), soft_wrap=True)
        for line in lines[-MAX_LINES:]:
            console.print(Text(f"  {line}"), soft_wrap=True)


def _output(internal: Objects, order: OrderRow) -> str | None:
    """Return an order's whole log; without it the end of the log, from the result; None without either."""
    try:
        return internal.get(keys.log(order.run_id, order.order_num)).decode("utf-8", "replace")
    except IacCiError:
        pass
    try:
        return Result.model_validate_json(internal.get(keys.result(order.run_id, order.order_num))).log_tail
    except (IacCiError, ValueError):
        return None


__all__ = ["MAX_LINES", "print_output"]
