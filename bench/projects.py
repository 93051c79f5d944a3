"""Measures how long finding 300 projects takes, beside reading their files: ``python -m bench.projects``."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench import monorepo
from iac_ci_common.tree import Entry, EntryKind, Tree
from iac_ci_triggers.configuration import TemplateValues, expand, read_configuration, with_project_jobs

if TYPE_CHECKING:
    from collections.abc import Callable

_ROUNDS = 5


def main() -> None:
    """Print the times and their ratio as JSON; each is the least of five, in CPU seconds of this process."""
    files = monorepo.files()
    configuration = read_configuration(monorepo.CONFIGURATION)
    changed = ["modules/m01/main.tf"]

    def decide() -> int:
        tree = Tree({path: Entry(EntryKind.FILE, len(content)) for path, content in files.items()}, files)
        found = with_project_jobs(configuration, tree).configuration
        return len(expand(found, "plan", TemplateValues(), changed, None).orders)

    with tempfile.TemporaryDirectory() as folder:
        for path, content in files.items():
            Path(folder, path).parent.mkdir(parents=True, exist_ok=True)
            Path(folder, path).write_bytes(content)
        reading = _least(lambda: [Path(folder, path).read_bytes() for path in files])
    deciding = _least(decide)
    result = {
        "files": len(files),
        "bytes": sum(map(len, files.values())),
        "projects": monorepo.PROJECTS,
        "planned": decide(),
        "read_s": round(reading, 3),
        "decide_s": round(deciding, 3),
        "ratio": round(deciding / reading, 1),
    }
    json.dump(result, sys.stdout)
    print()


def _least(step: Callable[[], object]) -> float:
    times = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        step()
        times.append(time.process_time() - began)
    return min(times)


if __name__ == "__main__":
    main()
