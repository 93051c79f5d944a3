"""Arguments that several commands share, with what the shell offers for them."""

from __future__ import annotations

from typing import Annotated

import typer

from iac_ci_cli.completion import complete_order, complete_run
from iac_ci_cli.options import check_run

RunId = Annotated[
    str,
    typer.Argument(
        help="The run's id, or its beginning where no other run's begins so.",
        callback=check_run,
        autocompletion=complete_run,
    ),
]
OrderId = Annotated[
    str | None, typer.Argument(help="Name or number of one order; by default all.", autocompletion=complete_order)
]
