"""What was changed behind Terraform's back, by a file that tests write."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

CHANGES: Final = "STAND_IN_CHANGES"
"""Variable with the path of a JSON file: attributes by type of resource, or ``GONE`` for one that was removed."""

GONE: Final = "gone"


def changed_outside(type_name: str) -> dict[str, Any] | str | None:
    """Return what was changed of all resources of a type, None if nothing was."""
    path = Path(os.environ.get(CHANGES) or os.devnull)
    text = path.read_text("utf-8") if path.exists() else ""
    found: dict[str, Any] | str | None = json.loads(text or "{}").get(type_name)
    return found
