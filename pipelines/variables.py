"""Merges the variables of the deploy stage: those of the script and those of the operator's file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

GIVEN: Final = ("stack", "region", "image_uri")
REFUSED: Final = {
    name: f"do not store it in a file; set TF_VAR_{name} instead" for name in ("webhook_secret", "page_key")
}


def merge(stack: str, region: str, image_uri: str, path: str | None = None) -> dict[str, Any]:
    """Return the variables; exit with every problem of the file at once."""
    values: dict[str, Any] = {"stack": stack, "region": region, "image_uri": image_uri}
    if path is None:
        return values
    try:
        content = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        sys.exit(f"{path} cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        sys.exit(f"{path} is not UTF-8 text")
    except json.JSONDecodeError as error:
        sys.exit(f"{path} is not valid JSON: line {error.lineno}, column {error.colno}")
    if not isinstance(content, dict):
        sys.exit(f"{path} must contain one JSON object")
    problems = [f"{name}: remove it; the script sets it" for name in GIVEN if name in content]
    problems += [f"{name}: {why}" for name, why in REFUSED.items() if name in content]
    if problems:
        sys.exit(f"{path}: " + "; ".join(problems))
    return content | values


if __name__ == "__main__":
    sys.stdout.write(json.dumps(merge(*sys.argv[1:]), indent=2, sort_keys=True) + "\n")
