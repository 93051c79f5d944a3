"""The command that sends a job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iac_ci_cli import jobs, streams
from iac_ci_cli.errors import interrupted
from iac_ci_cli.options import CodeFolder, check_path
from iac_ci_cli.progress import progress
from iac_ci_cli.stack_options import StackOptions, with_stack_options
from iac_ci_cli.text import plain, write
from iac_ci_cli.watch import watch_to_the_end

if TYPE_CHECKING:
    from iac_ci_cli.connection import StackClient
    from iac_ci_common.models.answer import Accepted

JobFile = Annotated[
    Path,
    typer.Argument(parser=check_path, help="The job: a JSON file, a folder with a job.json, or - for standard input."),
]

commands = typer.Typer()


@commands.callback()
def of_jobs() -> None:
    """Make a group of the only command here, as the application expects."""


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
        with progress(f"Reading {jobs.read_from(job)}", quiet=options.as_json):
            body = jobs.read_job(job)
        folder = jobs.code_folder(job, code)
        connection = options.connect()
        if folder is not None:
            if not options.as_json:
                write(jobs.filled_in(folder, jobs.places_without_code(body)))
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
