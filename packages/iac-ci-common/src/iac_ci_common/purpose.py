"""Distinguishes plans and applies by what their author wrote: pure.

The engine runs any command and knows none. This is used for one thing: what may be interrupted without its being named.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


class Purpose(StrEnum):
    """What an order is for, as far as its name and commands show it."""

    PLAN = "plan"
    APPLY = "apply"


SUPERSEDED: Final = "superseded by"
"""Beginning of the reason for a run that the pull request's next state has cancelled."""

_APPLY: Final = re.compile(r"(?<![A-Za-z])(apply|destroy|import)(?![a-z])", re.IGNORECASE)
_PLAN: Final = re.compile(r"(?<![A-Za-z])plan(?![a-z])", re.IGNORECASE)
_MAY_CHANGE: Final = re.compile(r"(?<![A-Za-z])(deploy|up)(?![a-z])", re.IGNORECASE)
"""Words beside which the word plan proves nothing: ``pulumi up --plan``, ``./deploy.sh plan.bin``."""


def purpose(order_name: str, cmds: Iterable[str]) -> Purpose | None:
    """Return what an order is for; None if neither its name nor a command says so. An apply that plans is an apply."""
    text = "\n".join([order_name, *cmds])
    if _APPLY.search(text) is not None:
        return Purpose.APPLY
    return Purpose.PLAN if _PLAN.search(text) is not None and _MAY_CHANGE.search(text) is None else None
