"""Merges the variables of the deploy stage: what the script knows, and what the operator's file adds."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

GIVEN: Final = ("stack", "region", "image_uri")
REFUSED: Final = {"webhook_secret": "a file is no place for it: set TF_VAR_webhook_secret"}


def merge(stack: str, region: str, image_uri: str, path: str | None = None) -> dict[str, Any]:
    """Return the variables; end with every problem of the file at once."""
    values: dict[str, Any] = {"stack": stack, "region": region, "image_uri": image_uri}
    if path is None:
        return values
    try:
        more = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"{path}: {error}")
    if not isinstance(more, dict):
        sys.exit(f"{path} holds no JSON object")
    problems = [f"{name} is given by a flag" for name in GIVEN if name in more]
    problems += [f"{name}: {why}" for name, why in REFUSED.items() if name in more]
    if problems:
        sys.exit(f"{path}: " + "; ".join(problems))
    return more | values


if __name__ == "__main__":
    sys.stdout.write(json.dumps(merge(*sys.argv[1:]), indent=2, sort_keys=True) + "\n")
