"""Commands that show a run: its orders, its logs, its events, and how it goes on."""

from __future__ import annotations

import json

import typer

from iac_ci_cli import render
from iac_ci_cli.arguments import RunId  # noqa: TC001 - typer reads them when it runs
from iac_ci_cli.lookup import find_run, whole_run_id
from iac_ci_cli.progress import progress
from iac_ci_cli.stack_options import StackOptions, with_stack_options
from iac_ci_cli.text import one_line, write
from iac_ci_cli.watch import rows_json, watch_to_the_end

commands = typer.Typer()


@commands.command()
@with_stack_options
def watch(
    run: RunId,
    *,
    options: StackOptions,
) -> None:
    """Watch a run until it ends; exit with 0 only if it succeeded.

    Ctrl-C ends the watching, not the run.
    """
    connection = options.connect()
    run = whole_run_id(connection, run)
    find_run(connection.runs, connection.internal, run)
    raise typer.Exit(watch_to_the_end(connection, run, as_json=options.as_json))


@commands.command()
@with_stack_options
def status(
    run: RunId,
    *,
    options: StackOptions,
) -> None:
    """Show the state of a run and of its orders."""
    connection = options.connect()
    run = whole_run_id(connection, run)
    with progress("Reading the run", quiet=options.as_json):
        rows = find_run(connection.runs, connection.internal, run)
    if options.as_json:
        write(rows_json(rows))
    elif rows.run is None:
        write(f"Run {run} is being prepared: its code and secrets are collected.")
        write(f"If it stays so, see: {connection.command('doctor', run)}")
    else:
        console = render.wide_console()
        render.print_orders(console, rows, connection.clock.now())
        console.print(render.line(render.summary(rows.run, rows.orders)), soft_wrap=True)


@commands.command()
@with_stack_options
def events(
    run: RunId,
    *,
    options: StackOptions,
) -> None:
    """Print what happened to a run, one event on a line, the oldest first."""
    connection = options.connect()
    run = whole_run_id(connection, run)
    with progress("Reading the events", quiet=options.as_json):
        rows = find_run(connection.runs, connection.internal, run)
        found = connection.runs.events(rows.run.trace_id) if rows.run is not None else []
    if options.as_json:
        write(json.dumps([event.model_dump(mode="json", exclude_none=True) for event in found]))
        return
    if not found:
        write(f"Run {run} has no events yet.")
    for event in found:
        reason = f"  {one_line(event.reason)}" if event.reason else ""
        at = event.at.astimezone().isoformat(sep=" ", timespec="milliseconds")
        write(f"{at}  {event.order_name:<24} {event.kind}{reason}")
