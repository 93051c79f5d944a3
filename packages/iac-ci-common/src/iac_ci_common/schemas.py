"""Writes the JSON Schemas of what crosses the engine's border: ``python -m iac_ci_common.schemas docs/schemas``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from iac_ci_common.models.done import DoneMarker
from iac_ci_common.models.job import Job
from iac_ci_common.models.result import Result
from iac_ci_common.triggers.configuration import Configuration

if TYPE_CHECKING:
    from pydantic import BaseModel

MODELS: Final[dict[str, type[BaseModel]]] = {
    "configuration": Configuration,
    "job": Job,
    "result": Result,
    "done": DoneMarker,
}
"""The shapes that others send or read, by the name of their file."""


def schema(name: str) -> str:
    """Give one schema as the text of its file."""
    return json.dumps(MODELS[name].model_json_schema(), indent=2, sort_keys=True) + "\n"


def write(folder: Path) -> None:
    """Write all schemas into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        (folder / f"{name}.json").write_text(schema(name), "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
