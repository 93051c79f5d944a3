"""The application ``iac-ci``: what all commands share. The commands are in the modules that ``command_group`` names."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from iac_ci_cli.command_group import CommandGroup
from iac_ci_cli.text import write

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        write(f"iac-ci {version('iac-ci-cli')}")
        raise typer.Exit


@app.callback()
def iac_ci(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Run infrastructure as code: submit jobs, watch and understand their runs."""
