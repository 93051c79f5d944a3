"""Merges the variables of the deploy stage: those of the script and those of the operator's file."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent))

from variable_types import meant, types, unknown

GIVEN: Final = ("stack", "region", "image_uri")
REFUSED: Final = {
    name: f"do not store it in a file; set TF_VAR_{name} instead" for name in ("webhook_secret", "page_key")
}

STAGE: Final = Path(__file__).resolve().parents[1] / "terraform" / "deploy"


def _unknown(content: dict[str, Any]) -> list[str]:
    """Return a problem for each name that the stage does not have: Terraform only warns, or not even that."""
    known = types(STAGE)
    problems = []
    for name, value in sorted(content.items()):
        if name in known:
            problems += unknown(value, known[name], name)
        else:
            problems.append(f"{name}: is not a variable of the deploy stage{meant(name, known)}")
    return problems


def _unknown_in_environment(content: dict[str, Any]) -> list[str]:
    """Return the same problems of variables that only the environment sets, as far as they are JSON.

    Terraform's own notation, which it accepts there too, is not read.
    """
    problems: list[str] = []
    for name, kind in sorted(types(STAGE).items()):
        if name not in content:
            with contextlib.suppress(ValueError):
                problems += unknown(json.loads(os.environ.get(f"TF_VAR_{name}", "")), kind, f"TF_VAR_{name}")
    return problems


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; exit if a name is in it twice, of which the first would count for nothing."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        sys.exit(f"{', '.join(twice)}: in one object of the file of variables more than once; keep one")
    return content


def _read(path: str) -> dict[str, Any]:
    """Return the variables of the operator's file; exit with every problem of it at once."""
    try:
        content = json.loads(Path(path).read_text("utf-8-sig"), object_pairs_hook=_each_once)
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
    problems += _unknown({name: value for name, value in content.items() if name not in REFUSED})
    if problems:
        sys.exit(f"{path}: " + "; ".join(problems))
    return content


def merge(stack: str, region: str, image_uri: str, path: str | None = None) -> dict[str, Any]:
    """Return the variables; exit with the problems of the operator's file, or of the environment."""
    content = _read(path) if path is not None else {}
    problems = _unknown_in_environment(content)
    if problems:
        sys.exit("; ".join(problems))
    return content | {"stack": stack, "region": region, "image_uri": image_uri}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(merge(*sys.argv[1:]), indent=2, sort_keys=True) + "\n")
