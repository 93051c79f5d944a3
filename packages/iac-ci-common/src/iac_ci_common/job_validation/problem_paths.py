"""Paths of values in a job, as problems show them: ``orders[2].env_vars.NAME``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from iac_ci_common.draft import Location

_STEP: Final = re.compile(r"\.|(?=\[)")


def problem_path(location: Location) -> str:
    """Return a location as ``orders[2].env_vars.NAME``, without control characters."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = part[:80] if part[:80].isprintable() else repr(part[:80])[1:-1]
            text += f".{plain}" if text else plain
    return text or "job"


def enclosing_paths(path: str) -> list[str]:
    """Return the paths of all values that enclose ``path``, the outermost first, and ``path`` itself last."""
    paths: list[str] = []
    for step in _STEP.split(path):
        outer = paths[-1] if paths else ""
        paths.append(outer + step if step.startswith("[") or not outer else f"{outer}.{step}")
    return paths
