"""Commands for jobs: send one, check one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iac_ci_cli import jobs, streams
from iac_ci_cli.errors import CommandFailed, ExitCode, interrupted
from iac_ci_cli.failures import write_failure, write_problems
from iac_ci_cli.kinds import Kind  # noqa: TC001 - typer reads it when it runs
from iac_ci_cli.options import AsJson, check_path, check_patterns, check_secrets_prefix, check_source
from iac_ci_cli.progress import progress
from iac_ci_cli.stack_options import StackOptions, with_stack_options
from iac_ci_cli.text import plain, write
from iac_ci_cli.validation import Report
from iac_ci_cli.validation import validate as check_file
from iac_ci_cli.watch import watch_to_the_end
from iac_ci_common.errors import Problem
from iac_ci_common.grants import Grant
from iac_ci_common.job_validation.rules import DEFAULT_SECRETS_PREFIX, Rules
from iac_ci_triggers.configuration import FILE_NAME

if TYPE_CHECKING:
    from iac_ci_cli.connection import StackClient
    from iac_ci_common.models.answer import Accepted

commands = typer.Typer()

JobFile = Annotated[
    Path,
    typer.Argument(parser=check_path, help="The job: a JSON file, a folder with a job.json, or - for standard input."),
]
CodeFolder = Annotated[
    Path | None,
    typer.Option(
        "--code",
        parser=check_path,
        metavar="<path>",
        help="Folder to send as the code of orders that name none; by default the job's code/.",
    ),
]


@commands.command()
@with_stack_options
def submit(
    job: JobFile,
    code: CodeFolder = None,
    wait: Annotated[bool, typer.Option("--wait", help="Watch the run; exit with 0 only if it succeeded.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key never starts a second run, however often it is sent.")
    ] = None,
    *,
    options: StackOptions,
) -> None:
    """Send a job to a stack and print the run's id.

    With --wait, watch the run until it ends. Ctrl-C ends the watching, not the run.
    """
    with interrupted("nothing was sent"):
        key = jobs.check_idempotency_key(idempotency_key)
        with progress(f"Reading {_read_from(job)}", quiet=options.as_json):
            body = jobs.read_job(job)
        folder = jobs.code_folder(job, code)
        connection = options.connect()
        if folder is not None:
            if not options.as_json:
                write(_filled_in(folder, jobs.places_without_code(body)))
            with progress(f"Packing and sending {plain(str(folder))}", quiet=options.as_json):
                body = jobs.with_code(body, folder, connection)
    with progress("Sending the job", quiet=options.as_json):
        accepted = jobs.submit(connection, body, idempotency_key=key)
    report_accepted(connection, accepted, wait=wait, as_json=options.as_json)
    if wait:
        raise typer.Exit(watch_to_the_end(connection, accepted.run_id, as_json=options.as_json))


def report_accepted(connection: StackClient, accepted: Accepted, *, wait: bool, as_json: bool) -> None:
    """Print the run's id before anything else happens to the run."""
    sentence = f"Accepted as run {accepted.run_id}"
    if as_json and wait:
        # Standard output holds the run's end alone, and a user who interrupts this needs the id.
        streams.write_error(f"{sentence}\n")
        return
    try:
        if as_json:
            write(accepted.model_dump_json())
        else:
            write(sentence)
            if not wait:
                write(f"Watch it with: {connection.command('watch', accepted.run_id)}")
        streams.flush_output()
    except OSError:
        # The run exists, so its id must reach the user all the same.
        streams.write_error(f"{sentence}\n")
        raise


@commands.command()
def validate(
    files: Annotated[
        list[Path],
        typer.Argument(
            parser=check_path,
            help=f"Jobs, or repositories' {FILE_NAME}: files, folders with job.json or {FILE_NAME}, or - for"
            " standard input.",
        ),
    ],
    code: CodeFolder = None,
    kind: Annotated[
        Kind | None, typer.Option(help="What the files hold, where neither name nor content shows it.")
    ] = None,
    secrets_prefix: Annotated[
        str, typer.Option(help="Where the stack keeps the secrets of jobs.", callback=check_secrets_prefix)
    ] = DEFAULT_SECRETS_PREFIX,
    allow_secret: Annotated[
        list[str] | None,
        typer.Option(
            help="Pattern of secrets below the prefix that jobs may name; by default all.", callback=check_patterns
        ),
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            help="Source of the job on the stack: api, or the repository as host/path.", callback=check_source
        ),
    ] = "api",
    local: Annotated[bool, typer.Option("--local", help="Check as a local cloud does (file:// is allowed).")] = False,
    as_json: AsJson = False,
) -> None:
    """Check jobs and repositories' configurations as the engine does, without sending them.

    Exit codes: 0 all are valid, 2 one is not valid or cannot be read.
    """
    grant = Grant(secrets=tuple(allow_secret or ("*",)), roles=("*",))
    rules = Rules(source=source, secrets_prefix=secrets_prefix, grant=grant, allow_file_repositories=local)
    valid = [_check(file, rules, kind=kind, code=code, as_json=as_json) for file in files]
    if not all(valid):
        raise typer.Exit(ExitCode.BAD_INPUT)


def _check(file: Path, rules: Rules, *, kind: Kind | None, code: Path | None, as_json: bool) -> bool:
    try:
        with progress(f"Reading {_read_from(file)}", quiet=as_json):
            report = check_file(file, rules, kind=kind, code=code)
    except CommandFailed as error:
        if not as_json:
            write_failure(error.message, error.hint)
            return False
        report = Report(kind, str(file), problems=(Problem("file", error.message),))
    if as_json:
        write(json.dumps(report.as_json()))
    else:
        _show(report)
    return not report.problems


def _read_from(path: Path) -> str:
    return "standard input" if jobs.is_standard_input(path) else plain(str(path))


def _show(report: Report) -> None:
    if report.problems:
        write_problems(f"{report.label}: the {report.kind}", report.problems)
    else:
        write(plain(f"{report.label} is a valid {report.kind}"))
        if report.code is not None:
            write(_filled_in(report.code, report.filled_in))
        for subject in report.not_checked:
            write(f"Not checked: {subject}.")
        for text in report.schedules:
            write(plain(f"{text[:1].upper()}{text[1:]}."))
    if report.hint:
        streams.write_error(plain(report.hint) + "\n")


def _filled_in(folder: Path, fields: list[str]) -> str:
    named = plain(str(folder))
    if not fields:
        return f"{named} is not sent: every order names its own code"
    listed = ", ".join(fields[:5]) + (f" and {len(fields) - 5} more" if len(fields) > 5 else "")
    return f"Filled in when it is sent: {listed}, from the folder {named}"
