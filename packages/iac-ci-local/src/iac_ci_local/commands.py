"""The commands ``iac-ci local run``, ``iac-ci local pr`` and ``iac-ci local up``."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.text import Text

from iac_ci_cli import jobs
from iac_ci_cli.connection import local_connection, local_options
from iac_ci_cli.errors import CommandFailed, ExitCode, interrupted, problems_of
from iac_ci_cli.local_clouds import has_rival
from iac_ci_cli.options import check_path, check_stack
from iac_ci_cli.progress import progress
from iac_ci_cli.render import summary, word
from iac_ci_cli.text import one_line, plain
from iac_ci_cli.watch import has_live_table, rows_json, watch_run
from iac_ci_common.command_lines import command_line
from iac_ci_common.grants import EVERYTHING
from iac_ci_common.job_validation.rules import Rules
from iac_ci_common.models.tools import Tool, ToolSource
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.validation_messages import message
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.example import check_example
from iac_ci_local.live_output import LiveOutput
from iac_ci_local.pull_request import NoRunStarted, opened_pull_request
from iac_ci_local.seed_secrets import SeedSecret, read_secrets, seed
from iac_ci_local.signals import ended_by_signals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_cli.connection import StackClient
    from iac_ci_common.ports import RunRows

commands = typer.Typer()

_ALIVE_SECONDS: Final = 1.0
_ENDED: Final = "the local cloud ended, and everything in it"


class HostKind(StrEnum):
    """The code hosts that ``iac-ci local pr`` can behave like."""

    GITHUB = "github"
    GITLAB = "gitlab"
    BITBUCKET = "bitbucket"


_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def _check_log_level(value: str) -> str:
    if value.upper() not in _LEVELS:
        raise typer.BadParameter(f"{value!r:.80} is not a log level: use one of {', '.join(_LEVELS)}")
    return value.upper()


StackName = Annotated[str, typer.Option("--stack", callback=check_stack, help="Name of the stack in the local cloud.")]
LogLevel = Annotated[
    str,
    typer.Option("--log-level", callback=_check_log_level, help="Log level of the functions."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
ToolSources = Annotated[
    Path | None,
    typer.Option(
        "--tool-sources",
        parser=check_path,
        metavar="<path>",
        help="JSON file with mirrors of terraform, opentofu and terragrunt, like the stack's variable tool_sources.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show the orders' states alone, not what commands print.")]


@commands.command()
def run(
    job: Annotated[Path, typer.Argument(parser=check_path, help="The job: a JSON file, or a folder with a job.json.")],
    code: Annotated[
        Path | None,
        typer.Option(
            "--code", parser=check_path, metavar="<path>", help="Folder with the code of orders that name none."
        ),
    ] = None,
    secret: Annotated[list[str] | None, typer.Option(help="A secret to store first, as LOCATION=VALUE.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the cloud running until Ctrl-C.")] = False,
    stack: StackName = "iac-ci",
    log_level: LogLevel = "WARNING",
    tool_sources: ToolSources = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run one job in a new local cloud, print what its commands print while they run, and end the cloud.

    The exit code is 0 only if the run succeeded.
    """
    # A folder is a whole example: job.json, local-secrets.json, and code/ for orders that name no code.
    example = job if job.is_dir() else job.parent
    folder = jobs.code_folder(job, code)
    body = jobs.read_job(job)
    # Checked before anything starts; the location of the code is not known yet.
    jobs.check(
        body, Rules(grant=EVERYTHING, allow_file_repositories=True), code=None if folder is None else jobs.PACKED
    )
    with problems_of("the list of secrets"):
        secrets = read_secrets(example, secret or ())
    mirrors = _tool_sources(tool_sources)
    if not as_json:
        typer.echo("Starting a local cloud …")
    with (
        interrupted(_ENDED),
        ended_by_signals(),
        LocalCloud(stack_name=stack, log_level=log_level, announced=True, tool_sources=mirrors) as cloud,
    ):
        seed(cloud, secrets)
        connection = _connect(cloud)
        if folder is not None:
            with progress(f"Packing and sending {plain(str(folder))}", quiet=as_json):
                body = jobs.with_code(body, folder, connection)
        with progress("Sending the job", quiet=as_json):
            accepted = jobs.submit(connection, body)
        if not as_json:
            typer.echo(f"Accepted as run {accepted.run_id}")
        code_of_run = _watch(cloud, connection, accepted.run_id, as_json=as_json, quiet=quiet)
        if keep:
            with contextlib.suppress(KeyboardInterrupt):
                typer.echo(_how_to_reach(cloud), err=True)
                _stay(cloud)
    raise typer.Exit(code_of_run)


@commands.command(name="pr")
def pull_request(
    example: Annotated[
        Path, typer.Argument(parser=check_path, help="Folder with base/ (the branch main) and change/.")
    ],
    once: Annotated[bool, typer.Option("--once", help="End when the pull request's first run ends.")] = False,
    host: Annotated[HostKind, typer.Option("--host", help="The code host to behave like.")] = HostKind.GITHUB,
    stack: StackName = "iac-ci",
    log_level: LogLevel = "WARNING",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Open a pull request on a code host on this machine and let the engine work on it.

    The command runs until Ctrl-C. With --once, the exit code is 0 only if the run succeeded.
    """
    with problems_of("the pull request"):
        check_example(example)
    if not as_json:
        typer.echo("Starting a local cloud and a code host …")
    with (
        interrupted(_ENDED),
        ended_by_signals(),
        tempfile.TemporaryDirectory(prefix="iac-ci-code-host-") as folder,
        opened_pull_request(example, Path(folder), stack=stack, log_level=log_level, kind=host.value) as opened,
    ):
        if not as_json:
            typer.echo(f"The pull request: {opened.demo.page}")
        try:
            run_id = opened.first_run()
        except NoRunStarted as error:
            if once:
                raise CommandFailed(error.message, exit_code=ExitCode.BAD_INPUT) from error
            typer.echo(f"iac-ci: {error.message}", err=True)
            code_of_run = ExitCode.BAD_INPUT
        else:
            connection = _connect(opened.cloud)
            code_of_run = _watch(opened.cloud, connection, run_id, as_json=as_json, quiet=quiet)
        if not once:
            typer.echo(f"The pull request stays open at {opened.demo.page} until Ctrl-C.", err=True)
            _stay(opened.cloud)
    raise typer.Exit(code_of_run)


@commands.command()
def up(
    job: Annotated[
        Path | None,
        typer.Argument(parser=check_path, help="Folder of a job, for its local-secrets.json and code/."),
    ] = None,
    code: Annotated[
        Path | None,
        typer.Option("--code", parser=check_path, metavar="<path>", help="Folder to upload as code of jobs."),
    ] = None,
    secret: Annotated[list[str] | None, typer.Option(help="A secret to store, as LOCATION=VALUE.")] = None,
    stack: StackName = "iac-ci",
    log_level: LogLevel = "WARNING",
    tool_sources: ToolSources = None,
    as_json: AsJson = False,
) -> None:
    """Start a local cloud, store secrets and code in it, print what it has and run until Ctrl-C."""
    if job is not None and not job.is_dir():
        raise CommandFailed(f"{job} is not a folder", exit_code=ExitCode.BAD_INPUT)
    folder = jobs.code_folder(job, code) if job is not None else code
    if folder is not None and not folder.is_dir():
        raise CommandFailed(f"{folder} is not a folder", exit_code=ExitCode.BAD_INPUT)
    with problems_of("the list of secrets"):
        secrets = read_secrets(job, secret or ())
    mirrors = _tool_sources(tool_sources)
    if not as_json:
        typer.echo("Starting a local cloud …")
    with (
        interrupted(_ENDED),
        ended_by_signals(),
        LocalCloud(stack_name=stack, log_level=log_level, announced=True, tool_sources=mirrors) as cloud,
        contextlib.suppress(KeyboardInterrupt),
    ):
        seed(cloud, secrets)
        location = None
        if folder is not None:
            with progress(f"Packing and storing {plain(str(folder))}", quiet=as_json):
                location = jobs.upload_code(folder, _connect(cloud))
        if as_json:
            stored = {"secrets": [str(one.location) for one in secrets], "code": location}
            typer.echo(json.dumps(cloud.state() | {name: content for name, content in stored.items() if content}))
        else:
            typer.echo("\n".join(_what_was_stored(secrets, folder, location)) + _how_to_reach(cloud))
        _stay(cloud)


def _connect(cloud: LocalCloud) -> StackClient:
    """Return a client whose hints reach this cloud, also where another one runs."""
    state = cloud.state()
    return local_connection(state, named=has_rival(state))


def _what_was_stored(secrets: Sequence[SeedSecret], folder: Path | None, location: str | None) -> list[str]:
    """Return a line for each thing that was stored; names of secrets, never their values."""
    lines = [f"Stored the secret {plain(str(one.location))}." for one in secrets]
    if folder is not None:
        lines.append(f'Stored {plain(str(folder))} as code. Name it in an order: "s3_location": "{location}"')
    return [*lines, ""] if lines else lines


def _tool_sources(path: Path | None) -> dict[Tool, ToolSource]:
    """Return the mirrors that a file names, none without a file."""
    if path is None:
        return {}
    try:
        return TypeAdapter(dict[Tool, ToolSource]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        problem = message(error.errors()[0]) if isinstance(error, ValidationError) else error.strerror
        raise CommandFailed(
            f"{path} is not a list of tool sources: {problem}"
            ' (example: {"terraform": {"address": "https://mirror.example.com/terraform"}})',
            exit_code=ExitCode.BAD_INPUT,
        ) from error


def _watch(cloud: LocalCloud, connection: StackClient, run_id: str, *, as_json: bool, quiet: bool) -> ExitCode:
    """Watch a run to its end, print its output as it comes and a summary, and return the exit code."""
    console = Console(highlight=False, markup=False)
    output = None if as_json or quiet else LiveOutput(connection, run_id, console)
    rows = watch_run(connection, run_id, console, quiet=as_json, check=cloud.aws.check_alive, output=output)
    if rows.run is None:
        raise CommandFailed(f"run {run_id} no longer exists")
    if as_json:
        typer.echo(rows_json(rows))
    else:
        if has_live_table(console):
            _print_reasons(console, rows)
        console.print(Text(f"\n{summary(rows.run, rows.orders)}"), soft_wrap=True)
    return ExitCode.SUCCEEDED if rows.run.status is RunState.SUCCEEDED else ExitCode.RUN_FAILED


def _print_reasons(console: Console, rows: RunRows) -> None:
    """Print in full why orders did not succeed: the live table cuts a reason at the end of its line."""
    for order in rows.orders:
        if order.status in {OrderState.FAILED, OrderState.TIMED_OUT} and order.reason:
            console.print(
                Text(f"{order.order_name} {word(order.status)}: {one_line(order.reason)}", "bold"), soft_wrap=True
            )


def _how_to_reach(cloud: LocalCloud) -> str:
    environment = {
        "AWS_ENDPOINT_URL": cloud.aws.endpoint,
        "AWS_ACCESS_KEY_ID": cloud.aws.access_key,
        "AWS_SECRET_ACCESS_KEY": cloud.aws.secret_key,
        "AWS_DEFAULT_REGION": cloud.stack.names.region,
    }
    state = cloud.state()
    options = local_options(state, named=has_rival(state))
    return "\n".join(
        [
            f"The local cloud is running: stack {cloud.stack_name}, account {cloud.aws.account}.",
            "",
            f"  webhook   {cloud.stack.webhook_url}",
            f"  submit    {command_line('submit', 'JOB', options=options)}",
            f"  aws       {' '.join(f'{name}={value}' for name, value in environment.items())} aws …",
            "",
            "Ctrl-C ends it and everything in it.",
        ]
    )


def _stay(cloud: LocalCloud) -> None:
    """Wait for Ctrl-C; raise ``LocalCloudError`` if the cloud ends by itself."""
    never = threading.Event()
    while not never.wait(_ALIVE_SECONDS):
        cloud.aws.check_alive()
