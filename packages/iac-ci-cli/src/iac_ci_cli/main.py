"""The command ``iac-ci``."""

from __future__ import annotations

import json
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from iac_ci_cli import jobs, render
from iac_ci_cli.connection import StackClient, connect
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.lookup import find_run
from iac_ci_cli.options import AsJson, IsLocal, RunId, StackName  # noqa: TC001 - typer reads them when it runs
from iac_ci_cli.run_commands import operating
from iac_ci_cli.watch import watch_run
from iac_ci_common import keys
from iac_ci_common.errors import IacCiError, InputProblems, NotFound
from iac_ci_common.models.result import Result
from iac_ci_common.states import RunState

if TYPE_CHECKING:
    from iac_ci_common.ports import RunRows

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Run infrastructure as code: submit jobs, watch and understand their runs.",
)

JobFile = Annotated[Path, typer.Argument(help="The job: a JSON file, or a folder with a job.json.")]
CodeFolder = Annotated[Path | None, typer.Option("--code", help="Folder to send as the code of orders that name none.")]


@app.command()
def submit(
    job: JobFile,
    code: CodeFolder = None,
    wait: Annotated[bool, typer.Option("--wait", help="Watch the run and exit as it ended.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key never starts a second run, however often it is sent.")
    ] = None,
    stack: StackName = "iac-ci",
    local: IsLocal = False,
    as_json: AsJson = False,
) -> None:
    """Send a job to a stack."""
    body = jobs.read_file(job)
    connection = connect(stack, local=local)
    if code is not None:
        body = jobs.with_code(body, code, connection)
    accepted = jobs.submit(connection, body, idempotency_key=idempotency_key)
    if not wait:
        render.write(accepted.model_dump_json() if as_json else f"Accepted as run {accepted.run_id}")
        if not as_json:
            place = " --local" if local else ""
            render.write(f"Follow it with: iac-ci status {accepted.run_id}{place}")
        return
    raise typer.Exit(watch_to_the_end(connection, accepted.run_id, as_json=as_json))


@app.command()
def status(run: RunId, stack: StackName = "iac-ci", local: IsLocal = False, as_json: AsJson = False) -> None:
    """Show where a run and its orders are."""
    connection = connect(stack, local=local)
    rows = find_run(connection.runs, connection.internal, run)
    if as_json:
        render.write(rows_json(rows))
        return
    console = Console()
    console.print(render.orders_table(rows))
    if rows.run is not None:
        console.print(Text(render.summary(rows.run, rows.orders)), soft_wrap=True)


@app.command()
def logs(
    run: RunId,
    order: Annotated[str | None, typer.Argument(help="Name or number of one order; all without it.")] = None,
    stack: StackName = "iac-ci",
    local: IsLocal = False,
    as_json: AsJson = False,
) -> None:
    """Print the full logs of a run's orders, or of one."""
    connection = connect(stack, local=local)
    rows = find_run(connection.runs, connection.internal, run)
    chosen = [row for row in rows.orders if order in {None, row.order_name, row.order_num}]
    if not chosen:
        raise CommandFailed(f"run {run} has no order {order}", exit_code=ExitCode.BAD_INPUT)
    found = {row.order_name: _log(connection, run, row.order_num) for row in chosen}
    if as_json:
        render.write(json.dumps({"schema_version": 1, "run_id": run, "logs": found}))
        return
    for name, text in found.items():
        if order is None:
            render.write(f"── {name}")
        render.write(render.plain(text) if text is not None else "(no log yet)")


@app.command()
def events(run: RunId, stack: StackName = "iac-ci", local: IsLocal = False, as_json: AsJson = False) -> None:
    """Tell a run's story, event by event."""
    connection = connect(stack, local=local)
    rows = find_run(connection.runs, connection.internal, run)
    told = connection.runs.events(rows.run.trace_id) if rows.run is not None else []
    if as_json:
        render.write(json.dumps([event.model_dump(mode="json", exclude_none=True) for event in told]))
        return
    for event in told:
        why = f"  {render.plain(event.reason)}" if event.reason else ""
        render.write(f"{event.at:%H:%M:%S.%f}"[:-3] + f"  {event.order_name:<24} {event.kind}{why}")


@app.command()
def validate(
    job: JobFile,
    local: Annotated[bool, typer.Option("--local", help="Judge as a local cloud does (file:// is allowed).")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a job file without sending it. What depends on a stack's own limits is checked when it is sent."""
    body = jobs.read_file(job)
    try:
        jobs.check(body, local=local)
    except InputProblems as error:
        if not as_json:
            raise
        render.write(json.dumps({"valid": False, "problems": _problems(error)}))
        raise typer.Exit(ExitCode.BAD_INPUT) from None
    render.write(json.dumps({"valid": True, "problems": []}) if as_json else f"{job} is a valid job")


def watch_to_the_end(connection: StackClient, run_id: str, *, as_json: bool, **options: Any) -> ExitCode:
    """Watch a run, print failed orders' log tails and a one-line summary; give the exit code that says how it ended."""
    console = Console()
    rows = watch_run(connection, run_id, console, quiet=as_json, **options)
    if rows.run is None:
        raise CommandFailed(f"run {run_id} is gone")
    if as_json:
        render.write(rows_json(rows))
    else:
        render.failed_tails(console, connection.internal, rows.orders)
        console.print(Text(render.summary(rows.run, rows.orders)), soft_wrap=True)
    return ExitCode.SUCCEEDED if rows.run.status is RunState.SUCCEEDED else ExitCode.RUN_FAILED


def rows_json(rows: RunRows) -> str:
    """Write a run's rows as JSON."""
    return json.dumps(
        {
            "schema_version": 1,
            "run": rows.run.model_dump(mode="json", exclude_none=True) if rows.run is not None else None,
            "orders": [order.model_dump(mode="json", exclude_none=True) for order in rows.orders],
        }
    )


def _log(connection: StackClient, run: str, order_num: str) -> str | None:
    """Read the whole log; where it could not be stored, the tail that the result holds."""
    try:
        return connection.internal.get(keys.log(run, order_num)).decode("utf-8", "replace")
    except NotFound:
        pass
    try:
        return Result.model_validate_json(connection.internal.get(keys.result(run, order_num))).log_tail
    except (NotFound, ValueError):
        return None


def _problems(error: InputProblems) -> list[dict[str, str]]:
    return [{"where": problem.where, "what": problem.what} for problem in error.problems]


app.add_typer(operating)


def main() -> None:
    """Run the command line: plain errors, no stack traces, exit codes that mean something."""
    for entry in entry_points(group="iac_ci.commands"):
        app.add_typer(entry.load(), name=entry.name)
    try:
        app()
    except InputProblems as error:
        sys.stderr.write(f"The job has {len(error.problems)} problem{'s' if len(error.problems) > 1 else ''}:\n")
        for problem in error.problems:
            sys.stderr.write(f"  {render.plain(problem.where)}: {render.plain(problem.what)}\n")
        sys.exit(ExitCode.BAD_INPUT)
    except CommandFailed as error:
        _fail(error.message, error.hint, error.exit_code)
    except IacCiError as error:
        _fail(str(error), "", ExitCode.UNREACHABLE)


def _fail(message: str, hint: str, code: ExitCode) -> None:
    sys.stderr.write(f"iac-ci: {render.plain(message)}\n" + (f"{hint}\n" if hint else ""))
    sys.exit(code)
