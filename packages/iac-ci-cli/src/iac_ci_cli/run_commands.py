"""Commands for a run that does not go on: find out why, wake it, cancel it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from iac_ci_cli import control
from iac_ci_cli.arguments import RunId  # noqa: TC001 - typer reads them when it runs
from iac_ci_cli.completion import complete_order
from iac_ci_cli.diagnosis import Diagnosis, diagnose
from iac_ci_cli.errors import CommandFailed, ExitCode, interrupted
from iac_ci_cli.findings import Level
from iac_ci_cli.inspection import inspect_run
from iac_ci_cli.lookup import find_run, names, whole_run_id
from iac_ci_cli.progress import progress
from iac_ci_cli.stack_options import StackOptions, with_stack_options
from iac_ci_cli.text import one_line, plain, write

commands = typer.Typer()

_MAX_REASON = 900
"""The reason becomes part of every cancelled order's row, after a few words of the engine's."""

_SHOWN = 20


@commands.command()
@with_stack_options
def doctor(
    run: RunId,
    *,
    options: StackOptions,
) -> None:
    """Report what a run waits for, whether anything is wrong, and the next step.

    Changes nothing. Exits with 4 if the engine is stuck, with 0 if it is not, also where the run itself failed.
    """
    client = options.connect()
    run = whole_run_id(client, run)
    with progress("Reading everything about the run", quiet=options.as_json):
        find_run(client.runs, client.internal, run)
        diagnosis = diagnose(inspect_run(client, run))
    write(_as_json(run, diagnosis) if options.as_json else plain(_as_text(run, diagnosis)))
    if not diagnosis.healthy:
        raise typer.Exit(ExitCode.TROUBLE)


@commands.command()
@with_stack_options
def nudge(
    run: RunId,
    *,
    options: StackOptions,
) -> None:
    """Wake a run: the orchestrator examines all of it. Start a watchdog if the run has none. Safe at any time."""
    client = options.connect()
    run = whole_run_id(client, run)
    with (
        interrupted("the run may have been woken.", hint=f"It is safe to repeat: {client.command('nudge', run)}"),
        progress("Waking the run", quiet=options.as_json),
    ):
        woken = control.wake(client, run, find_run(client.runs, client.internal, run))
    if options.as_json:
        write(json.dumps({"schema_version": 1, "run_id": run, **asdict(woken)}))
        return
    if woken.watchdog_started:
        write("The run had no watchdog. A new one is started and checks the run every minute.")
    if woken.prepared:
        write("The run is woken: the orchestrator examines all of it now.")
    else:
        write("The run is still being prepared. Its watchdog starts the preparation again if it takes too long.")
    write(f"See what it waits for with: {client.command('doctor', run)}")


@commands.command()
@with_stack_options
def cancel(
    run: RunId,
    orders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ORDER]...", help="Running orders to stop, with --running.", autocompletion=complete_order
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="The reason, shown wherever the run is shown.")] = "asked for by hand",
    running: Annotated[
        bool, typer.Option("--running", help="Also stop running orders; an apply only if you name it.")
    ] = False,
    *,
    options: StackOptions,
) -> None:
    """Cancel queued orders. Running orders finish, so that Terraform releases its locks, unless you stop the --running.

    With ORDER, only these running orders are stopped, and the run goes on.
    """
    text = one_line(reason)
    if not text or len(text) > _MAX_REASON:
        raise CommandFailed(f"a reason has 1 to {_MAX_REASON} characters", exit_code=ExitCode.BAD_INPUT)
    if orders and not running:
        raise CommandFailed("orders are named with --running only", exit_code=ExitCode.BAD_INPUT)
    client = options.connect()
    run = whole_run_id(client, run)
    again = f"See: {client.command('status', run)}"
    with (
        interrupted("the run may be cancelled already.", hint=again),
        progress("Waiting for the orchestrator to cancel the queued orders", quiet=options.as_json),
    ):
        rows = find_run(client.runs, client.internal, run)
        if orders:
            answer = control.stop_orders(client, run, rows, orders, text)
        else:
            answer = control.cancel(client, run, rows, text, running=running)
    if options.as_json:
        write(json.dumps({"schema_version": 1, "run_id": run, **asdict(answer)}))
        return
    if answer.reason is not None:
        already = " already" if answer.already_cancelled else ""
        write(f"The run is cancelled{already}: {one_line(answer.reason)}")
        write(f"Cancelled, never started: {names(list(answer.cancelled))}")
    if answer.asked_to_stop:
        write(f"Started before; asked to stop within a minute: {names(list(answer.asked_to_stop))}")
    left = "finish by themselves; name one with --running to stop it" if running else "finish by themselves"
    write(f"Started before; {left}: {names(list(answer.left_running))}")
    if answer.undecided:
        write(f"Not known yet, still queued: {names(list(answer.undecided))}")
    write(f"Watch it with: {client.command('watch', run)}")


def _as_json(run: str, diagnosis: Diagnosis) -> str:
    return json.dumps({"schema_version": 1, "run_id": run, "healthy": diagnosis.healthy, **asdict(diagnosis)})


def _as_text(run: str, diagnosis: Diagnosis) -> str:
    lines = [f"Run {run} waits for {one_line(diagnosis.waits_for)}."]
    trouble = [finding for finding in diagnosis.findings if finding.level is Level.TROUBLE]
    for finding in trouble:
        lines.append(f"✗ {one_line(finding.what)}")
        if finding.next_step is not None:
            lines.append(f"  → {finding.next_step}")
    fine = [finding for finding in diagnosis.findings if finding.level is Level.INFO]
    for finding in fine[:_SHOWN]:
        lines.append(f"· {one_line(finding.what)}")
        if finding.next_step is not None:
            lines.append(f"  → {finding.next_step}")
    if len(fine) > _SHOWN:
        lines.append(f"· … and {len(fine) - _SHOWN} more of this kind (--json shows all)")
    lines.append(_conclusion(diagnosis))
    return "\n".join(lines)


def _conclusion(diagnosis: Diagnosis) -> str:
    failed = any(finding.kind == "run-failed" for finding in diagnosis.findings)
    if not diagnosis.healthy:
        return "Something is wrong."
    return "The run did not succeed. The engine itself has done its part." if failed else "Nothing is wrong."
