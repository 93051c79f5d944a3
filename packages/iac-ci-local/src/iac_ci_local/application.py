"""The group ``iac-ci local``. Its commands are in ``commands``, which imports the whole local cloud."""

from __future__ import annotations

from typing import ClassVar

import typer

from iac_ci_cli.command_group import Command, LazyGroup


class LocalGroup(LazyGroup):
    """The commands of ``iac-ci local``."""

    own: ClassVar = {
        "run": Command(
            "iac_ci_local.commands",
            "Run one job in a new local cloud, print what its commands print while they run, and end the cloud.",
        ),
        "pr": Command(
            "iac_ci_local.commands",
            "Open a pull request on a code host on this machine and let the engine work on it.",
        ),
        "up": Command(
            "iac_ci_local.commands",
            "Start a local cloud, store secrets and code in it, print what it has and run until Ctrl-C.",
        ),
    }


app = typer.Typer(cls=LocalGroup, no_args_is_help=True)


@app.callback()
def local() -> None:
    """Run the whole engine on this machine, in a local cloud."""
