"""The commands ``iac-ci local run`` and ``iac-ci local up``."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import Annotated

import typer

from iac_ci_local.cloud import LocalCloud
from iac_ci_local.stopping import ended_by_signals

app = typer.Typer(no_args_is_help=True)

_ALIVE_SECONDS = 1.0

StackName = Annotated[str, typer.Option("--stack", help="Name of the stack in the local cloud.")]
LogLevel = Annotated[str, typer.Option("--log-level", help="Log level of the functions.")]


@app.callback()
def local() -> None:
    """The embedded local cloud: the whole engine on this machine."""


@app.command()
def up(
    stack: StackName = "iac-ci",
    log_level: LogLevel = "WARNING",
    as_json: Annotated[bool, typer.Option("--json", help="Print how to reach it as JSON.")] = False,
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
