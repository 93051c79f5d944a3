"""The application ``iac-ci``: what all commands share. The commands are in the modules that ``command_group`` names."""

from __future__ import annotations

import typer

from iac_ci_cli.command_group import CommandGroup

app = typer.Typer(cls=CommandGroup, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def iac_ci() -> None:
    """Run infrastructure as code: submit jobs, watch and understand their runs."""
