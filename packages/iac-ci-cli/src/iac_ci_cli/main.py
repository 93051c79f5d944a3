"""The command ``iac-ci``."""

from __future__ import annotations

import io
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
from iac_ci_cli.validation import Kind, Report
from iac_ci_cli.validation import validate as check_file
from iac_ci_cli.watch import watch_run
from iac_ci_common import keys
from iac_ci_common.errors import IacCiError, InputProblems, NotFound
from iac_ci_common.job_validation.rules import DEFAULT_SECRETS_PREFIX, Rules
from iac_ci_common.models.result import Result
from iac_ci_common.states import RunState
from iac_ci_triggers.configuration import FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_common.errors import Problem
    from iac_ci_common.ports import RunRows

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Run infrastructure as code: submit jobs, watch and understand their runs.",
)

JobFile = Annotated[
    Path, typer.Argument(help="The job: a JSON file, a folder with a job.json, or - for standard input.")
]
CodeFolder = Annotated[
    Path | None,
    typer.Option("--code", help="Folder to send as the code of orders that name none; by default the job's code/."),
]


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
    folder = jobs.code_folder(job, code)
    connection = connect(stack, local=local)
    if folder is not None:
        if not as_json:
            render.write(_filled_in(folder, jobs.places_without_code(body)))
        body = jobs.with_code(body, folder, connection)
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
    files: Annotated[
        list[Path],
        typer.Argument(
            help=f"Jobs, or repositories' {FILE_NAME}: files, folders with job.json or {FILE_NAME}, or - for"
            " standard input."
        ),
    ],
    code: CodeFolder = None,
    kind: Annotated[
        Kind | None, typer.Option(help="What the file holds, where neither its name nor its content says.")
    ] = None,
    secrets_prefix: Annotated[
        str, typer.Option(help="Where the stack keeps the secrets of jobs.")
    ] = DEFAULT_SECRETS_PREFIX,
    allow_secret: Annotated[
        list[str] | None, typer.Option(help="Pattern of secrets below the prefix that jobs may name; all without it.")
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Check as a local cloud does (file:// is allowed).")] = False,
    as_json: AsJson = False,
) -> None:
    """Check jobs and repositories' configurations as the engine does, without sending them.

    Exit codes: 0 all are valid, 2 one is not, or cannot be read.
    """
    rules = Rules(secrets_prefix=secrets_prefix, allow_list={"*": allow_secret or ["*"]}, allow_file_repositories=local)
    reports = [check_file(file, rules, kind=kind, code=code) for file in files]
    for report in reports:
        if as_json:
            render.write(json.dumps(report.as_json()))
        else:
            _show(report)
    if any(report.problems for report in reports):
        raise typer.Exit(ExitCode.BAD_INPUT)


def _show(report: Report) -> None:
    if report.problems:
        _write_problems(f"{report.label}: the {report.kind}", report.problems)
    else:
        render.write(render.plain(f"{report.label} is a valid {report.kind}"))
        if report.code is not None:
            render.write(_filled_in(report.code, report.filled_in))
        for what in report.not_checked:
            render.write(f"Not checked: {what}.")
    if report.hint:
        sys.stderr.write(render.plain(report.hint) + "\n")


def _filled_in(folder: Path, places: list[str]) -> str:
    named = render.plain(str(folder))
    if not places:
        return f"{named} is not sent: every order names its own code"
    listed = ", ".join(places[:5]) + (f" and {len(places) - 5} more" if len(places) > 5 else "")
    return f"Filled in when it is sent: {listed}, from the folder {named}"


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
        return Result.from_stored(connection.internal.get(keys.result(run, order_num))).log_tail
    except (NotFound, ValueError):
        return None


app.add_typer(operating)


def main() -> None:
    """Run the command line: plain errors, no stack traces, exit codes that mean something."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal or a pipe that cannot write a character shows its number; it ends nothing.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for entry in entry_points(group="iac_ci.commands"):
        app.add_typer(entry.load(), name=entry.name)
    try:
        app()
    except InputProblems as error:
        _write_problems("The job", error.problems)
        sys.exit(ExitCode.BAD_INPUT)
    except CommandFailed as error:
        _fail(error.message, error.hint, error.exit_code)
    except IacCiError as error:
        _fail(str(error), "", ExitCode.UNREACHABLE)


def _write_problems(subject: str, problems: Sequence[Problem]) -> None:
    number = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
    lines = [f"{subject} has {number}:", *(f"  {problem.where}: {problem.what}" for problem in problems)]
    sys.stderr.write("".join(f"{render.plain(line)}\n" for line in lines))


def _fail(message: str, hint: str, code: ExitCode) -> None:
    sys.stderr.write(f"iac-ci: {render.plain(message)}\n" + (f"{hint}\n" if hint else ""))
    sys.exit(code)
