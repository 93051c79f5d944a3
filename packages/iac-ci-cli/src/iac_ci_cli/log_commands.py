"""The command that prints logs of a run's orders, and follows them."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from iac_ci_cli import render
from iac_ci_cli.arguments import OrderId, RunId  # noqa: TC001 - typer reads them when it runs
from iac_ci_cli.errors import CommandFailed, ExitCode, interrupted
from iac_ci_cli.log_stamps import stamp, stamped
from iac_ci_cli.lookup import find_order, find_run, whole_run_id
from iac_ci_cli.progress import progress
from iac_ci_cli.run_logs import Follower
from iac_ci_cli.stack_options import StackOptions, with_stack_options
from iac_ci_cli.text import plain, write
from iac_ci_common.errors import IacCiError
from iac_ci_common.order_logs import logged_attempts, read_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_cli.connection import StackClient
    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import Clock

commands = typer.Typer()


@commands.callback()
def of_logs() -> None:
    """Make a group of the only command here, as the application expects."""


@commands.command()
@with_stack_options
def logs(
    run: RunId,
    order: OrderId = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print output as it comes, until the end.")] = False,
    attempt: Annotated[
        int | None, typer.Option(min=1, help="Number of one attempt of the order; by default all.", show_default=False)
    ] = None,
    timestamps: Annotated[
        bool, typer.Option("--timestamps", "-t", help="Print before each line when it was written, to the second.")
    ] = False,
    *,
    options: StackOptions,
) -> None:
    """Print the whole logs of a run's orders, or of one order; of an order that runs, what it has printed so far."""
    _check_options(order, attempt, follow=follow, as_json=options.as_json)
    client = options.connect()
    run = whole_run_id(client, run)
    if client.runs.read(run).run is None and (stored := logged_attempts(client.internal, run)):
        _print_stored(
            _Logs(client, run, timestamps),
            _of_order(run, order, stored),
            attempt,
            with_names=order is None,
            as_json=options.as_json,
        )
        return
    with progress("Reading the logs", quiet=options.as_json):
        rows = find_run(client.runs, client.internal, run)
        chosen = list(rows.orders) if order is None else [find_order(rows, run, order)]
    if follow:
        again = client.command("logs", run, *([order] if order else []), "--follow")
        with interrupted(f"run {run} goes on", hint=f"Follow it again with: {again}"):
            shown = Shown(with_names=order is None, clock=client.clock if timestamps else None)
            Follower(client, run, shown).follow(None if order is None else chosen[0].order_num)
        return
    wanted = [row for one in chosen for row in _attempts(one, attempt)]
    texts = _Logs(client, run, timestamps).read([(row.order_num, row.attempt) for row in wanted])
    if options.as_json:
        _print_json(run, [(row.order_name, row.attempt) for row in wanted], texts)
        return
    if not chosen:
        write(f"Run {run} is being prepared: it has no orders yet.")
    for row, text in zip(wanted, texts, strict=True):
        if order is None or (row.attempts > 1 and attempt is None):
            write(heading(row))
        write(plain(text) if text else f"(no log: {render.word(row.status)})")


def _check_options(order: str | None, attempt: int | None, *, follow: bool, as_json: bool) -> None:
    problem = None
    if follow and as_json:
        problem = "--follow prints text; leave out --json"
    elif follow and attempt is not None:
        problem = "--follow prints every attempt; leave out --attempt"
    elif attempt is not None and order is None:
        problem = "--attempt is of one order; name the order"
    if problem is not None:
        raise CommandFailed(problem, exit_code=ExitCode.BAD_INPUT)


def _attempts(row: OrderRow, attempt: int | None) -> list[OrderRow]:
    """Return an order's row once for each of its attempts, or for one of them."""
    if attempt is not None and attempt > row.attempt:
        number = "one attempt" if row.attempt == 1 else f"{row.attempt} attempts"
        message = f"{row.order_name} has {number}, and no attempt {attempt}"
        raise CommandFailed(message, exit_code=ExitCode.BAD_INPUT)
    numbers = range(1, row.attempt + 1) if attempt is None else [attempt]
    return [row.model_copy(update={"attempt": number}) for number in numbers]


def heading(row: OrderRow) -> str:
    """Return the line before the log of an order's attempt."""
    return f"── {row.order_name}" + (f", attempt {row.attempt} of {row.attempts}" if row.attempts > 1 else "")


class Shown:
    """Writes new text of logs to standard output; where it is of another attempt than before, a heading first."""

    def __init__(self, *, with_names: bool, clock: Clock | None = None) -> None:
        """Write names of orders if there may be several; with a ``clock``, the time at which each line came."""
        self._with_names, self._clock = with_names, clock
        self._last: tuple[str, int] | None = None
        self._at_line_end = True

    def __call__(self, row: OrderRow, text: str) -> None:
        """Write text of an order's log."""
        shown = plain(text)
        is_new = self._at_line_end or self._last != (row.order_num, row.attempt)
        if self._clock is not None and shown:
            before = f"{stamp(int(self._clock.now().timestamp() * 1000))} "
            whole, last = shown[:-1], shown[-1]
            shown = (before if is_new else "") + whole.replace("\n", f"\n{before}") + last
        if (self._with_names or row.attempts > 1) and self._last != (row.order_num, row.attempt):
            shown = f"{'' if self._at_line_end else chr(10)}{heading(row)}\n{shown}"
        self._last = row.order_num, row.attempt
        self._at_line_end = shown.endswith("\n") if shown else self._at_line_end
        sys.stdout.write(shown)
        sys.stdout.flush()


@dataclass(frozen=True, slots=True)
class _Logs:
    """Reads logs of a run, with times before their lines if that is wanted."""

    client: StackClient
    run: str
    timestamps: bool

    def read(self, attempts: list[tuple[str, int]]) -> list[str | None]:
        """Read the logs of several attempts at once, each an order's number and its own, in the same sequence."""
        found: list[str | None] = []
        reads = [partial(read_log, self.client.internal, self.run, *one) for one in attempts]
        for log in self.client.parallel.run(reads):
            if isinstance(log, IacCiError):
                raise log
            if log is None:
                found.append(None)
            else:
                found.append(stamped(log.data, log.times) if self.timestamps else log.text)
        return found


def _of_order(run: str, order: str | None, stored: dict[str, list[int]]) -> dict[str, list[int]]:
    """Return the logs of one order, or all; orders have numbers only where the rows of the run are gone."""
    if order is None:
        return stored
    wanted = f"{int(order):04d}" if order.isascii() and order.isdigit() and len(order) <= 4 else ""
    if wanted not in stored:
        hint = f"Its rows are gone, so name an order by its number: {', '.join(list(stored)[:20])}."
        raise CommandFailed(f"run {run} has no log of {order[:60]!r}", exit_code=ExitCode.BAD_INPUT, hint=hint)
    return {wanted: stored[wanted]}


def _print_stored(
    logs: _Logs,
    stored: dict[str, list[int]],
    attempt: int | None,
    *,
    with_names: bool,
    as_json: bool,
) -> None:
    """Print logs of a run whose rows are gone: logs are kept longer."""
    wanted = [(num, number) for num, numbers in stored.items() for number in numbers if attempt in {None, number}]
    if not wanted:
        raise CommandFailed(f"run {logs.run} has no log of attempt {attempt}", exit_code=ExitCode.BAD_INPUT)
    texts = [text or "" for text in logs.read(wanted)]
    if as_json:
        _print_json(logs.run, wanted, texts)
        return
    for (num, number), text in zip(wanted, texts, strict=True):
        several = len(stored[num]) > 1 and attempt is None
        if with_names or several:
            write(f"── {num}" + (f", attempt {number}" if several else ""))
        write(plain(text) or "(no log)")


def _print_json(run: str, places: list[tuple[str, int]], texts: Sequence[str | None]) -> None:
    """Print the log of each order's last attempt, and those of all attempts of orders that have several."""
    attempts: dict[str, dict[int, str | None]] = {}
    for (name, number), text in zip(places, texts, strict=True):
        attempts.setdefault(name, {})[number] = text
    body = {
        "schema_version": 1,
        "run_id": run,
        "logs": {name: texts_of[max(texts_of)] for name, texts_of in attempts.items()},
        "attempts": {name: texts_of for name, texts_of in attempts.items() if len(texts_of) > 1},
    }
    write(json.dumps(body))
