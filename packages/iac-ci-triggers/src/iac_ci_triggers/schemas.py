"""Writes the JSON Schema of the repository's configuration: ``python -m iac_ci_triggers.schemas docs/schemas``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from iac_ci_common.schemas import write
from iac_ci_triggers.configuration import Configuration

MODELS: Final = {"configuration": Configuration}
"""The model that repositories write, by the name of its schema's file."""

if __name__ == "__main__":
    write(Path(sys.argv[1]), MODELS)
