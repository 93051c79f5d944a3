"""The command that lists runs."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from iac_ci_cli import render, streams
from iac_ci_cli.answers import RunsAnswer
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.history import KEPT, UNKNOWN, ListedRun, Page, Wanted, find_runs
from iac_ci_cli.options import check_filter
from iac_ci_cli.progress import progress
from iac_ci_cli.stack_options import StackOptions, with_stack_options
from iac_ci_cli.text import one_line, plain, write
from iac_ci_cli.times import parse_since, shown_time, span
from iac_ci_common.command_lines import command_line
from iac_ci_common.errors import PortFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

commands = typer.Typer()

_HEADINGS: Final = (
    "Run", "State", "Accepted", "Took", "Job", "Repository", "Branch", "Pull request", "Started by",
)  # fmt: skip
_NONE: Final = "-"


class ListedState(StrEnum):
    """States by which runs can be listed."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    UNKNOWN = UNKNOWN


@commands.callback()
def of_history() -> None:
    """Make a group of the only command here, as the application expects."""


@commands.command()
@with_stack_options
def runs(
    repo: Annotated[
        str | None,
        typer.Option(
            metavar="REPOSITORY", callback=check_filter, help="Repository: owner/name, host/owner/name or its URL."
        ),
    ] = None,
    branch: Annotated[
        str | None, typer.Option(metavar="BRANCH", callback=check_filter, help="Branch; * stands for any text.")
    ] = None,
    pr: Annotated[int | None, typer.Option("--pr", metavar="NUMBER", min=1, help="Number of a pull request.")] = None,
    project: Annotated[
        str | None,
        typer.Option(
            metavar="PROJECT",
            callback=check_filter,
            help="Project that was planned or applied; * stands for any text.",
        ),
    ] = None,
    state: Annotated[list[ListedState] | None, typer.Option(help="State; name several by several options.")] = None,
    actor: Annotated[
        str | None, typer.Option(metavar="NAME", callback=check_filter, help="Who started the run.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Accepted since: 12h, 7d, a date, or a time with offset."),
    ] = None,
    most: Annotated[int, typer.Option("--limit", metavar="COUNT", min=1, max=1000, help="Most runs of a page.")] = 20,
    after: Annotated[
        str | None, typer.Option(metavar="POSITION", help="Continue at this position, which the page before names.")
    ] = None,
    *,
    options: StackOptions,
) -> None:
    """List the runs of the last 90 days, the newest first. A run appears when its preparation has ended."""
    now = datetime.now(UTC)
    try:
        asked = {
            "--repo": repo, "--branch": branch, "--pr": pr, "--project": project, "--actor": actor, "--since": since,
            "--limit": None if most == 20 else most,
        }  # fmt: skip
        wanted = Wanted(
            repository=repo,
            branch=branch,
            pull_request=pr,
            project=project,
            actor=actor,
            states=frozenset(one.value for one in state or ()),
            since=None if since is None else parse_since(since, now),
        )
        client = options.connect()
        if wanted.since is not None and wanted.since < now - KEPT:
            streams.write_error(f"Runs are listed for {KEPT.days} days; --since {plain(str(since))} asks for more.\n")
        with progress("Looking for runs", quiet=options.as_json):
            page = find_runs(client.history, wanted, now, most=most, after=after)
    except ValueError as error:
        raise CommandFailed(str(error), exit_code=ExitCode.BAD_INPUT) from error
    except PortFailed as error:
        if "specified index" not in error.message and "backfilling" not in error.message:
            raise
        hint = "Deploy this version; the index takes some minutes to be built. Until then, name a run by its whole id."
        raise CommandFailed(f"the stack {options.stack} has no index of runs yet", hint=hint) from error
    if options.as_json:
        write(_as_json(page))
        return
    if not page.runs:
        write("No run fits." if wanted != Wanted() or after is not None else "There were no runs in the last 90 days.")
    else:
        _print(render.wide_console(), page)
    if page.next_page is not None:
        states = "".join(f" --state {one.value}" for one in state or ())
        again = f"{_options(asked)}{states} --after {page.next_page}{client.options}"
        write(f"More: {command_line('runs', options=again)}")


def _options(asked: Mapping[str, object]) -> str:
    given = {name: value for name, value in asked.items() if value is not None}
    return "".join(f" {name} {shlex.quote(plain(str(value)))}" for name, value in given.items())


def _print(console: Console, page: Page) -> None:
    """Print the runs as a table; if that is wider than the terminal, each with its facts below its id."""
    rows = [[one_line(cell) for cell in _cells(run)] for run in page.runs]
    if render.fits(console, table := _table(rows)):
        console.print(table)
        return
    for run_id, state, *facts in rows:
        console.print(Text(f"{run_id}  {state}"), soft_wrap=True)
        named = zip(_HEADINGS[2:], facts, strict=True)
        listed = ", ".join(f"{heading.lower()} {fact}" for heading, fact in named if fact not in {"", _NONE})
        console.print(Padding(Text(listed), (0, 0, 0, 2)))


def _table(rows: list[list[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in _HEADINGS:
        table.add_column(heading)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _cells(run: ListedRun) -> list[str]:
    took = "" if run.ended_at is None else span(run.ended_at - run.accepted_at)
    if not run.is_known:
        facts = [UNKNOWN] * 5
    else:
        pull = f"#{run.pull_request}" if run.pull_request is not None else None
        facts = [cell or _NONE for cell in (run.job, run.repository, run.branch, pull, run.actor)]
    return [run.run_id, run.state.replace("_", " "), shown_time(run.accepted_at), took, *facts]


def _as_json(page: Page) -> str:
    return RunsAnswer.model_validate(
        {"schema_version": 1, "runs": [asdict(run) for run in page.runs], "next_page": page.next_page}
    ).model_dump_json()
