"""Finds a run by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_common import ids, keys

if TYPE_CHECKING:
    from iac_ci_common.ports import Objects, RunRows, Runs


def find_run(runs: Runs, internal: Objects, run: str) -> RunRows:
    """Read a run's rows; ``CommandFailed`` where there is no such run. One that is not prepared yet has none."""
    try:
        ids.check_run_id(run)
    except ValueError as error:
        raise CommandFailed(str(error), exit_code=ExitCode.BAD_INPUT) from error
    rows = runs.read(run)
    if rows.run is None and not internal.exists(keys.job(run)):
        hint = "Runs are forgotten a day after their deadline. Is this the right stack?"
        raise CommandFailed(f"there is no run {run}", exit_code=ExitCode.BAD_INPUT, hint=hint)
    return rows
