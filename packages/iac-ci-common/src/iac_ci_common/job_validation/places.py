"""Places in a job as problems name them: ``orders[2].env_vars.NAME``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from iac_ci_common.partial_reading import Location

_STEP: Final = re.compile(r"\.|(?=\[)")


def where(location: Location) -> str:
    """Write a location as ``orders[2].env_vars.NAME``, without anything that a terminal would obey."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = part[:80] if part[:80].isprintable() else repr(part[:80])[1:-1]
            text += f".{plain}" if text else plain
    return text or "job"


def places(where: str) -> list[str]:
    """Return a place and all that it lies in, the outermost first."""
    found: list[str] = []
    for step in _STEP.split(where):
        outer = found[-1] if found else ""
        found.append(outer + step if step.startswith("[") or not outer else f"{outer}.{step}")
    return found
