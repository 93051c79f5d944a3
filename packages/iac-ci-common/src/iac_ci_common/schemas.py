"""Writes the JSON Schemas of the public formats: ``python -m iac_ci_common.schemas docs/schemas``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from iac_ci_common.models.announcement import Announcement
from iac_ci_common.models.done import DoneMarker
from iac_ci_common.models.drift import DriftList
from iac_ci_common.models.job import Job
from iac_ci_common.models.result import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

MODELS: Final[dict[str, type[BaseModel]]] = {
    "job": Job,
    "result": Result,
    "done": DoneMarker,
    "drift": DriftList,
    "announcement": Announcement,
}
"""The models that callers send or read, by the name of their schema's file."""


def schema(model: type[BaseModel]) -> str:
    """Return the text of a model's schema file."""
    return json.dumps(model.model_json_schema(), indent=2, sort_keys=True) + "\n"


def write(folder: Path, models: Mapping[str, type[BaseModel]]) -> None:
    """Write each schema of ``models`` as ``<name>.json`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in models.items():
        (folder / f"{name}.json").write_text(schema(model), "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), MODELS)
