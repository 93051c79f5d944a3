"""The command that lists projects with drift."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from iac_ci_cli.progress import progress
from iac_ci_cli.stack_options import StackOptions, with_stack_options
from iac_ci_cli.text import one_line, write
from iac_ci_common.ids import DRIFT_EVENT_NAME
from iac_ci_common.models.changes import Changes, Operation
from iac_ci_common.models.drift import DriftList, ListedDrift
from iac_ci_common.models.event import DRIFT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iac_ci_common.models.event import Event

commands = typer.Typer()

_MOST_DAYS = 90
"""Events are kept for as long."""


@commands.callback()
def of_drift() -> None:
    """Make a group of the only command here, as the application expects."""


@commands.command()
@with_stack_options
def drift(
    days: Annotated[
        int, typer.Option(min=1, max=_MOST_DAYS, help="How far back to look for the newest run of each project.")
    ] = 35,
    *,
    options: StackOptions,
) -> None:
    """List the projects whose infrastructure differs from their configuration, by their newest drift runs."""
    connection = options.connect()
    since = datetime.now(UTC) - timedelta(days=days)
    with progress("Reading the drift runs", quiet=options.as_json):
        found = listed(connection.runs.events_named(DRIFT_EVENT_NAME, since), since)
    if options.as_json:
        write(found.model_dump_json())
        return
    for one in found.drift:
        write(_line(one))
    lately = "last day" if days == 1 else f"last {days} days"
    if not found.planned:
        write(f"No drift run has planned a project in the {lately}.")
        return
    word = "project" if found.planned == 1 else "projects"
    write(f"{len(found.drift)} of {found.planned} {word} with drift, by the runs of the {lately}.")


def listed(events: Iterable[Event], since: datetime) -> DriftList:
    """Return the projects with drift; the newest event of each project counts."""
    newest: dict[tuple[str, str], Event] = {}
    for event in sorted(events, key=lambda one: (one.at, one.sort)):
        if event.project is not None:
            newest[event.project.repository, event.project.key] = event
    found = [
        ListedDrift(
            repository=event.project.repository,
            project=event.project.name,
            changes=event.project.changes or Changes(operation=Operation.PLANNED),
            summary=(event.reason or "").removeprefix(f"{event.project.name}: "),
            run_id=event.run_id,
            commit=event.project.commit,
            found_at=event.at,
            issue=event.project.issue,
            note=event.project.note,
        )
        for event in newest.values()
        if event.kind == DRIFT and event.project is not None
    ]
    found.sort(key=lambda one: (one.repository, one.project))
    return DriftList(since=since, planned=len(newest), drift=tuple(found))


def _line(one: ListedDrift) -> str:
    where = one.repository.removeprefix("https://").removesuffix(".git")
    issue = f"issue {one.issue}" if one.issue is not None else f"no issue: {one.note}" if one.note else "no issue"
    at = f"{one.found_at:%Y-%m-%d %H:%M} UTC"
    return "  ".join(map(one_line, (where, one.project, one.summary, at, f"run {one.run_id}", issue)))


__all__ = ["listed"]
