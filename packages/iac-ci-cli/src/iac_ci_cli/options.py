"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

RunId = Annotated[str, typer.Argument(help="The run's id.")]
StackName = Annotated[str, typer.Option("--stack", envvar="IAC_CI_STACK", help="Name of the stack.")]
IsLocal = Annotated[bool, typer.Option("--local", help="Use the local cloud that is running here.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
