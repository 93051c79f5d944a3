"""Prints the live table of a run of 1,000 orders as a terminal of 24 lines shows it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from rich.console import Console

from iac_ci_cli.live_table import live_table
from iac_ci_common.models.changes import Changes, Operation
from iac_ci_common.ports import RunRows
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import START, order_row, run_row

COUNT: Final = 1000
HEIGHT: Final = 24
WIDTH: Final = 100


def rows() -> RunRows:
    """Return the rows in the middle of the run: most orders have ended or wait, a few run, some failed."""
    states = dict.fromkeys(range(1, 701), OrderState.SUCCEEDED)
    states |= dict.fromkeys(range(701, 713), OrderState.RUNNING)
    states |= {40: OrderState.FAILED, 512: OrderState.FAILED, 640: OrderState.TIMED_OUT}
    reasons = {40: "exit code 1", 512: "exit code 1", 640: "the commands took longer than 450 s"}
    planned = Changes(operation=Operation.PLANNED, add=2, change=1)
    orders = tuple(
        order_row(
            number,
            order_name=f"plan-folder-{number}",
            status=states.get(number, OrderState.QUEUED),
            started_at=START + timedelta(seconds=number),
            reason=reasons.get(number),
            changes=planned if number <= 640 else None,
        )
        for number in range(1, COUNT + 1)
    )
    return RunRows(run_row(order_count=COUNT), orders)


if __name__ == "__main__":
    console = Console(width=WIDTH, height=HEIGHT, highlight=False)
    console.print(live_table(rows(), HEIGHT, START + timedelta(seconds=754), width=console.width))
