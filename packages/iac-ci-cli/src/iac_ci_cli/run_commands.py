"""Commands for a run that does not go on: see why, wake it, end it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from iac_ci_cli import control
from iac_ci_cli.connection import connect
from iac_ci_cli.diagnosis import Diagnosis, diagnose
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.findings import Level
from iac_ci_cli.inspection import examine
from iac_ci_cli.lookup import find_run
from iac_ci_cli.options import AsJson, IsLocal, RunId, StackName  # noqa: TC001 - typer reads them when it runs
from iac_ci_cli.render import plain, write

if TYPE_CHECKING:
    from collections.abc import Sequence

operating = typer.Typer()

_MAX_REASON = 900
"""The reason ends up in every cancelled order's row, after some words of its own."""

_SHOWN = 20


@operating.command()
def doctor(run: RunId, stack: StackName = "iac-ci", local: IsLocal = False, as_json: AsJson = False) -> None:
    """Return what a run waits for and whether anything is wrong. Changes nothing; exits with 4 where something is."""
    place = connect(stack, local=local)
    find_run(place.runs, place.internal, run)
    diagnosis = diagnose(examine(place, run))
    write(_as_json(run, diagnosis) if as_json else plain(_as_text(run, diagnosis)))
    if not diagnosis.healthy:
        raise typer.Exit(ExitCode.TROUBLE)


@operating.command()
def nudge(run: RunId, stack: StackName = "iac-ci", local: IsLocal = False, as_json: AsJson = False) -> None:
    """Wake a run: the orchestrator looks at all of it, and a watchdog is started if it has none. Safe at any time."""
    place = connect(stack, local=local)
    woken = control.wake(place, run, find_run(place.runs, place.internal, run))
    if as_json:
        write(json.dumps({"schema_version": 1, "run_id": run, **asdict(woken)}))
        return
    if woken.watchdog_started:
        write("The run had no watchdog; one was started and looks after it every minute from now on.")
    if woken.prepared:
        write("The run was woken: the orchestrator looks at all of it now.")
    else:
        write("The run is still being prepared; its watchdog starts that again if it takes too long.")
    write(f"See what it waits for with: iac-ci doctor {run}{_place(stack, local=local)}")


@operating.command()
def cancel(
    run: RunId,
    reason: Annotated[str, typer.Option(help="Why, in words that everybody will see.")] = "asked for by hand",
    stack: StackName = "iac-ci",
    local: IsLocal = False,
    as_json: AsJson = False,
) -> None:
    """Cancel what has not started; what runs is left to end, so that no command is cut off half-way."""
    said = plain(reason).strip()
    if not said or len(said) > _MAX_REASON:
        raise CommandFailed(f"a reason has 1 to {_MAX_REASON} characters", exit_code=ExitCode.BAD_INPUT)
    place = connect(stack, local=local)
    asked = control.cancel(place, run, find_run(place.runs, place.internal, run), said)
    if as_json:
        write(json.dumps({"schema_version": 1, "run_id": run, **asdict(asked)}))
        return
    write(f"The run is asked to end: {said}")
    write(f"Not started, and cancelled: {_list(asked.cancelled)}")
    write(f"Already started, and left to end: {_list(asked.left_running)}")
    write(f"Follow it with: iac-ci status {run}{_place(stack, local=local)}")


def _as_json(run: str, diagnosis: Diagnosis) -> str:
    return json.dumps({"schema_version": 1, "run_id": run, "healthy": diagnosis.healthy, **asdict(diagnosis)})


def _as_text(run: str, diagnosis: Diagnosis) -> str:
    lines = [f"Run {run} waits for {diagnosis.waits_for}."]
    trouble = [finding for finding in diagnosis.findings if finding.level is Level.TROUBLE]
    for finding in trouble:
        lines.append(f"✗ {finding.what}")
        if finding.next_step is not None:
            lines.append(f"  → {finding.next_step}")
    fine = [finding for finding in diagnosis.findings if finding.level is Level.INFO]
    lines += [f"· {finding.what}" for finding in fine[:_SHOWN]]
    if len(fine) > _SHOWN:
        lines.append(f"· … and {len(fine) - _SHOWN} more of the kind (--json shows all)")
    lines.append("Something is wrong." if trouble else "Nothing is wrong.")
    return "\n".join(lines)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "") or "none"


def _place(stack: str, *, local: bool) -> str:
    return (" --local" if local else "") + (f" --stack {stack}" if stack != "iac-ci" else "")
