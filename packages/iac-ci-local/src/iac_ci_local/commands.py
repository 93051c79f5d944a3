"""The commands ``iac-ci local run``, ``iac-ci local pr`` and ``iac-ci local up``."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
from pathlib import Path
from typing import Annotated

import typer

from iac_ci_cli import jobs
from iac_ci_cli.connection import local_connection
from iac_ci_cli.main import watch_to_the_end
from iac_ci_common.job_validation.rules import Rules
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.pull_request import opened_pull_request
from iac_ci_local.seed_secrets import plant, read_secrets
from iac_ci_local.signals import ended_by_signals

app = typer.Typer(no_args_is_help=True)

_ALIVE_SECONDS = 1.0

StackName = Annotated[str, typer.Option("--stack", help="Name of the stack in the local cloud.")]
LogLevel = Annotated[str, typer.Option("--log-level", help="Log level of the functions.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.callback()
def local() -> None:
    """The embedded local cloud: the whole engine on this machine."""


@app.command()
def run(
    job: Annotated[Path, typer.Argument(help="The job: a JSON file, or a folder with a job.json.")],
    code: Annotated[Path | None, typer.Option("--code", help="Folder to send as the orders' code.")] = None,
    secret: Annotated[list[str] | None, typer.Option(help="LOCATION=VALUE of a secret to plant.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Let the cloud stand until Ctrl-C, to look around.")] = False,
    stack: StackName = "iac-ci",
    log_level: LogLevel = "WARNING",
    as_json: AsJson = False,
) -> None:
    """Start a local cloud, run one job in it, show how it goes and end everything.

    The exit code is 0 only if the run succeeded.
    """
    # A folder is a whole example: job.json, local-secrets.json, and in code/ what orders run that name no code.
    example = job if job.is_dir() else job.parent
    folder = jobs.code_folder(job, code)
    body = jobs.read_file(job)
    # Checked before anything is started, with a stand-in for where the code will be.
    jobs.check(body, Rules(allow_file_repositories=True), code=None if folder is None else jobs.PACKED)
    secrets = read_secrets(example, secret or ())
    if not as_json:
        typer.echo("Starting a local cloud …")
    with ended_by_signals(), LocalCloud(stack_name=stack, log_level=log_level, announced=True) as cloud:
        plant(cloud, secrets)
        connection = local_connection(cloud.state())
        if folder is not None:
            body = jobs.with_code(body, folder, connection)
        accepted = jobs.submit(connection, body)
        if not as_json:
            typer.echo(f"Accepted as run {accepted.run_id}")
        ended = watch_to_the_end(connection, accepted.run_id, as_json=as_json, check=cloud.aws.check_alive)
        if keep:
            typer.echo(_how_to_reach(cloud), err=True)
            with contextlib.suppress(KeyboardInterrupt):
                _stay(cloud)
    raise typer.Exit(ended)


@app.command(name="pr")
def pull_request(
    example: Annotated[Path, typer.Argument(help="Folder with base/ (the branch main) and change/.")],
    once: Annotated[bool, typer.Option("--once", help="End with the run that the pull request starts.")] = False,
    stack: StackName = "iac-ci",
    log_level: LogLevel = "WARNING",
    as_json: AsJson = False,
) -> None:
    """Open a pull request on a code host on this machine, and let the engine take part in it.

    Stays until Ctrl-C. With --once the exit code is 0 only if the run succeeded.
    """
    if not as_json:
        typer.echo("Starting a local cloud and a code host …")
    with (
        ended_by_signals(),
        tempfile.TemporaryDirectory(prefix="iac-ci-code-host-") as folder,
        opened_pull_request(example, Path(folder), stack=stack, log_level=log_level) as opened,
    ):
        if not as_json:
            typer.echo(f"The pull request: {opened.stand.page}")
        run_id = opened.first_run()
        connection = local_connection(opened.cloud.state())
        ended = watch_to_the_end(connection, run_id, as_json=as_json, check=opened.cloud.aws.check_alive)
        if not once:
            typer.echo(f"It goes on at {opened.stand.page} until Ctrl-C.", err=True)
            with contextlib.suppress(KeyboardInterrupt):
                _stay(opened.cloud)
    raise typer.Exit(ended)


@app.command()
def up(
    stack: StackName = "iac-ci",
    log_level: LogLevel = "WARNING",
    as_json: AsJson = False,
) -> None:
    """Start a local cloud, say how to reach it and stay until Ctrl-C."""
    with (
        ended_by_signals(),
        LocalCloud(stack_name=stack, log_level=log_level, announced=True) as cloud,
        contextlib.suppress(KeyboardInterrupt),
    ):
        typer.echo(json.dumps(cloud.state()) if as_json else _how_to_reach(cloud))
        _stay(cloud)


def _how_to_reach(cloud: LocalCloud) -> str:
    reach = {
        "AWS_ENDPOINT_URL": cloud.aws.endpoint,
        "AWS_ACCESS_KEY_ID": cloud.aws.access_key,
        "AWS_SECRET_ACCESS_KEY": cloud.aws.secret_key,
        "AWS_DEFAULT_REGION": cloud.stack.names.region,
    }
    return "\n".join(
        [
            f"The local cloud stands: stack {cloud.stack_name}, account {cloud.aws.account}.",
            "",
            f"  webhook   {cloud.stack.webhook_url}",
            "  submit    iac-ci submit --local JOB",
            f"  aws       {' '.join(f'{name}={value}' for name, value in reach.items())} aws …",
            "",
            "Ctrl-C ends it and everything in it.",
        ]
    )


def _stay(cloud: LocalCloud) -> None:
    """Wait for Ctrl-C; raise if the cloud ends by itself."""
    never = threading.Event()
    while not never.wait(_ALIVE_SECONDS):
        cloud.aws.check_alive()
