"""The command ``open``: makes a link to the page of a run, with the user's own rights in AWS."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import typer

from iac_ci_cli.arguments import RunId  # noqa: TC001 - typer reads it when it runs
from iac_ci_cli.errors import CommandFailed
from iac_ci_cli.lookup import find_run, whole_run_id
from iac_ci_cli.progress import progress
from iac_ci_cli.stack_options import StackOptions, with_stack_options
from iac_ci_cli.text import write
from iac_ci_common.capabilities import MIN_KEY_CHARS, OPEN_SECONDS, link
from iac_ci_common.errors import NotFound
from iac_ci_triggers.connections import read_connections

if TYPE_CHECKING:
    from iac_ci_cli.connection import StackClient
    from iac_ci_common.models.rows import RunRow

commands = typer.Typer()


@commands.callback()
def of_pages() -> None:
    """Make a group of the only command here, as the application expects."""


@commands.command("open")
@with_stack_options
def open_page(
    run: RunId,
    *,
    options: StackOptions,
) -> None:
    """Print a link to the page of a run. It can be opened for 15 minutes; the page then stays open for as long.

    The link shows the run to everybody who has it, without an AWS account.
    """
    connection = options.connect()
    run = whole_run_id(connection, run)
    with progress("Making the link", quiet=options.as_json):
        row = connection.runs.find_run(run)
        if row is None:
            find_run(connection.runs, connection.internal, run)
            hint = f"See how far it is: {connection.command('status', run)}"
            raise CommandFailed(f"run {run} has no page yet: it is still being prepared", hint=hint)
        made = page_link(connection, row)
    write(
        json.dumps({"schema_version": 1, "run_id": run, "link": made, "seconds": OPEN_SECONDS})
        if options.as_json
        else made
    )


def page_link(connection: StackClient, run: RunRow) -> str:
    """Return a link to a run's page. Raises ``CommandFailed`` if the stack has no pages."""
    hint = "Set TF_VAR_page_key, raise page_key_version, and deploy the stack again: docs/run-page.md."
    key = _parameter(connection, "page-key")
    if not connection.page_address or len(key) < MIN_KEY_CHARS:
        raise CommandFailed(f"the stack {connection.stack} has no pages of runs", hint=hint)
    listed = read_connections(_parameter(connection, "connections") or "[]")
    generation = listed.link_generation(run.report.repository if run.report is not None else None)
    ends = connection.clock.now() + timedelta(seconds=OPEN_SECONDS)
    return link(connection.page_address, key, run.run_id, expires_at=ends, generation=generation)


def _parameter(connection: StackClient, name: str) -> str:
    """Return the text of one of the stack's parameters, empty if it does not exist."""
    try:
        return connection.parameter(name)
    except NotFound:
        return ""
