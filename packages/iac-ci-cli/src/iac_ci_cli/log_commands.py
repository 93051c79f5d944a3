"""The command that prints logs of a run's orders, and follows them."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from iac_ci_cli import render
from iac_ci_cli.connection import connect
from iac_ci_cli.errors import CommandFailed, ExitCode, interrupted
from iac_ci_cli.lookup import find_order, find_run
from iac_ci_cli.options import (  # noqa: TC001 - typer reads them when it runs
    AsJson,
    CloudAccount,
    IsLocal,
    Profile,
    Region,
    RunId,
    StackName,
)
from iac_ci_cli.progress import progress
from iac_ci_cli.run_logs import Follower, read_log, stored_logs
from iac_ci_cli.text import plain, write
from iac_ci_common.errors import IacCiError

if TYPE_CHECKING:
    from iac_ci_cli.connection import StackClient
    from iac_ci_common.models.rows import OrderRow

commands = typer.Typer()


@commands.callback()
def of_logs() -> None:
    """Make a group of the only command here, as the application expects."""


@commands.command()
def logs(
    run: RunId,
    order: Annotated[str | None, typer.Argument(help="Name or number of one order; by default all.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print output as it comes, until the end.")] = False,
    stack: StackName = "iac-ci",
    local: IsLocal = False,
    cloud: CloudAccount = None,
    region: Region = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Print the whole logs of a run's orders, or of one order; of an order that runs, what it has printed so far."""
    if follow and as_json:
        raise CommandFailed("--follow prints text; leave out --json", exit_code=ExitCode.BAD_INPUT)
    client = connect(stack, local=local, cloud=cloud, region=region, profile=profile, quiet=as_json)
    if client.runs.read(run).run is None and (stored := stored_logs(client.internal, run)):
        _print_stored(client, run, order, stored, as_json=as_json)
        return
    with progress("Reading the logs", quiet=as_json):
        rows = find_run(client.runs, client.internal, run)
        chosen = list(rows.orders) if order is None else [find_order(rows, run, order)]
    if follow:
        again = client.command("logs", run, *([order] if order else []), "--follow")
        with interrupted(f"run {run} goes on", hint=f"Follow it again with: {again}"):
            Follower(client, run, Shown(with_names=order is None)).follow(
                None if order is None else chosen[0].order_num
            )
        return
    found = _logs(client, run, chosen)
    if as_json:
        write(json.dumps({"schema_version": 1, "run_id": run, "logs": found}))
        return
    if not chosen:
        write(f"Run {run} is being prepared: it has no orders yet.")
    for row in chosen:
        text = found[row.order_name]
        if order is None:
            write(f"── {row.order_name}")
        write(plain(text) if text is not None else f"(no log: {render.word(row.status)})")


class Shown:
    """Writes new text of logs to standard output; where it is another order's than before, its name first."""

    def __init__(self, *, with_names: bool) -> None:
        """Write names of orders if there may be several."""
        self._with_names = with_names
        self._last: str | None = None
        self._at_line_end = True

    def __call__(self, row: OrderRow, text: str) -> None:
        """Write text of an order's log."""
        shown = plain(text)
        if self._with_names and self._last != row.order_num:
            shown = f"{'' if self._at_line_end else chr(10)}── {row.order_name}\n{shown}"
        self._last = row.order_num
        self._at_line_end = shown.endswith("\n") if shown else self._at_line_end
        sys.stdout.write(shown)
        sys.stdout.flush()


def _print_stored(client: StackClient, run: str, order: str | None, stored: list[str], *, as_json: bool) -> None:
    """Print logs of a run whose rows are gone: logs are kept longer. Orders have numbers only."""
    if order is not None:
        wanted = f"{int(order):04d}" if order.isascii() and order.isdigit() and len(order) <= 4 else ""
        if wanted not in stored:
            hint = f"Its rows are gone, so name an order by its number: {', '.join(stored[:20])}."
            raise CommandFailed(f"run {run} has no log of {order[:60]!r}", exit_code=ExitCode.BAD_INPUT, hint=hint)
        stored = [wanted]
    found = {num: read_log(client.internal, run, num) or "" for num in stored}
    if as_json:
        write(json.dumps({"schema_version": 1, "run_id": run, "logs": found}))
        return
    for num, text in found.items():
        if order is None:
            write(f"── {num}")
        write(plain(text))


def _logs(client: StackClient, run: str, orders: list[OrderRow]) -> dict[str, str | None]:
    """Read the logs of several orders at once, in the orders' sequence."""
    tasks = [partial(read_log, client.internal, run, order.order_num) for order in orders]
    found: dict[str, str | None] = {}
    for order, text in zip(orders, client.parallel.run(tasks), strict=True):
        if isinstance(text, IacCiError):
            raise text
        found[order.order_name] = text
    return found
