"""The command that fetches files of a run's orders."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iac_ci_cli.arguments import OrderId, RunId  # noqa: TC001 - typer reads them when it runs
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.lookup import find_order, whole_run_id
from iac_ci_cli.options import check_path
from iac_ci_cli.progress import progress
from iac_ci_cli.sealed_files import FetchedFiles, fetch, sealed_objects
from iac_ci_cli.stack_options import StackOptions, with_stack_options
from iac_ci_cli.text import plain, write

if TYPE_CHECKING:
    from iac_ci_common.ports import RunRows

commands = typer.Typer()


@commands.callback()
def of_files() -> None:
    """Make a group of the only command here, as the application expects."""


@commands.command()
@with_stack_options
def files(
    run: RunId,
    order: OrderId = None,
    to: Annotated[
        Path | None,
        typer.Option(
            parser=check_path,
            metavar="<path>",
            help="New folder to write to; iac-ci-files-RUN by default.",
            show_default=False,
        ),
    ] = None,
    *,
    options: StackOptions,
) -> None:
    """Fetch the files that orders saved, or that failed orders left, for example errored.tfstate.

    They may hold secrets. You need the rights to read the internal bucket and to decrypt under the stack's KMS key.
    """
    client = options.connect()
    run = whole_run_id(client, run)
    with progress("Looking for files", quiet=options.as_json):
        num = None if order is None else _number(client.runs.read(run), run, order)
        found = sealed_objects(client.internal, run, num)
    if not found:
        hint = "They are kept for plan_days, 14 by default, and only if an order saved some or failed and left some."
        raise CommandFailed(f"run {run} has no files", exit_code=ExitCode.BAD_INPUT, hint=hint)
    folder = to if to is not None else Path(f"iac-ci-files-{run}")
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        message = f"cannot make the folder {folder}: {error.strerror}"
        raise CommandFailed(message, exit_code=ExitCode.BAD_INPUT, hint="Name a new folder with --to.") from error
    try:
        with progress("Fetching the files", quiet=options.as_json):
            fetched = [fetch(sealed, client.internal, partial(client.client, "kms"), folder) for sealed in found]
    except BaseException:
        # It was made here, and its files may hold secrets.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if options.as_json:
        write(json.dumps({"schema_version": 1, "run_id": run, "files": list(map(_as_json, fetched))}))
        return
    for one in fetched:
        for name in one.names:
            write(plain(str(one.folder / name)))


def _number(rows: RunRows, run: str, order: str) -> str:
    """Return the number of an order, by its name or number; rows that are gone have numbers only."""
    if rows.run is None and order.isascii() and order.isdigit() and len(order) <= 4:
        return f"{int(order):04d}"
    return find_order(rows, run, order).order_num


def _as_json(fetched: FetchedFiles) -> dict[str, object]:
    return {
        "order": fetched.order,
        "kind": fetched.kind,
        "folder": str(fetched.folder),
        "names": list(fetched.names),
    }
