"""Finds a run by its id or the beginning of it, and an order of it by its name or number."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.usage_messages import did_you_mean
from iac_ci_common import keys
from iac_ci_common.begun_orders import as_begun
from iac_ci_common.command_lines import command_line
from iac_ci_common.errors import PortFailed
from iac_ci_common.limits import EVENT_RETENTION_SECONDS

if TYPE_CHECKING:
    from iac_ci_common.models.event import Event
    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import Clock, History, Objects, RunRows, Runs

_RUN_ID: Final = "20260131T235959-0123456789ab"


class Stack(Protocol):
    """The parts of a stack in which a run's id is looked up."""

    @property
    def options(self) -> str:
        """Options that name this stack in a command line, with a space in front."""
        ...

    @property
    def clock(self) -> Clock:
        """Time."""
        ...

    @property
    def internal(self) -> Objects:
        """The internal bucket."""
        ...

    @property
    def history(self) -> History:
        """The index of runs."""
        ...


def whole_run_id(stack: Stack, text: str) -> str:
    """Return the id of the one run whose id begins with ``text``, a whole id as it is.

    Runs of the last 90 days count, and those that are being prepared. Raises ``CommandFailed`` if there is none, or if
    there are several.
    """
    if len(text) == len(_RUN_ID):
        return text
    now = stack.clock.now()
    since, until = _accepted_between(text, now)
    found = {key.split("/")[2] for key in stack.internal.list(keys.job_prefix(text))}
    with contextlib.suppress(PortFailed):
        # A stack of a version before has no index of runs: those of the last day are found all the same.
        found |= {event.run_id for event in stack.history.job_events(since, until)}
    runs = sorted((run for run in found if run.startswith(text)), reverse=True)
    if not runs:
        listing = command_line("runs", options=stack.options)
        hint = f"`{listing}` lists the runs of the last 90 days. Is this the right stack?"
        raise CommandFailed(f"no run's id begins with {text}", exit_code=ExitCode.BAD_INPUT, hint=hint)
    if len(runs) > 1:
        message = f"the ids of {len(runs)} runs begin with {text}"
        raise CommandFailed(message, exit_code=ExitCode.BAD_INPUT, hint=f"Name one of them: {names(runs, 10)}.")
    return runs[0]


def find_event(stack: Stack, run: str) -> Event | None:
    """Return an event of a run, None if there is none in the last 90 days."""
    events = stack.history.job_events(*_accepted_between(run, stack.clock.now()))
    return next((event for event in events if event.run_id == run), None)


def _accepted_between(text: str, now: datetime) -> tuple[datetime, datetime]:
    """Return when runs with such an id can have been accepted: an id begins with its day."""
    oldest, newest = now - timedelta(seconds=EVENT_RETENTION_SECONDS), now + timedelta(hours=1)
    try:
        day = datetime.strptime(text[:8], "%Y%m%d").replace(tzinfo=UTC) if len(text) >= 8 else None
    except ValueError:
        day = None
    if day is None:
        return oldest, newest
    # An event's run has the id of its delivery and is accepted when that is processed.
    return max(oldest, day), max(oldest, min(newest, day + timedelta(days=2)))


def find_run(runs: Runs, internal: Objects, run: str) -> RunRows:
    """Return a run's rows; one that is not prepared yet has none. ``run`` is a checked id.

    Raises ``CommandFailed`` for an unknown run.
    """
    rows = runs.read(run)
    if rows.run is None and not internal.exists(keys.job(run)):
        hint = "Runs are forgotten a day after their deadline. Is this the right stack?"
        raise CommandFailed(f"there is no run {run}", exit_code=ExitCode.BAD_INPUT, hint=hint)
    return replace(rows, orders=as_begun(internal, rows.orders))


def find_order(rows: RunRows, run: str, order: str) -> OrderRow:
    """Return the order of this name, else of this number (``1`` and ``0001``). Raises ``CommandFailed``."""
    by_name = {row.order_name: row for row in rows.orders}
    if order in by_name:
        return by_name[order]
    if order.isascii() and order.isdigit() and len(order) <= 8:
        for row in rows.orders:
            if int(row.order_num) == int(order):
                return row
    if not rows.orders:
        raise CommandFailed(f"run {run} is being prepared: it has no orders yet", exit_code=ExitCode.BAD_INPUT)
    message = f"run {run} has no order {order[:60]!r}{did_you_mean(order, list(by_name))}"
    raise CommandFailed(message, exit_code=ExitCode.BAD_INPUT, hint=f"Its orders: {names(list(by_name))}.")


def names(found: list[str], most: int = 20) -> str:
    """Return a list of names for a message, at most ``most`` of them."""
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more if found else "none"
