"""Peak memory of the functions' processes (Linux)."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from iac_ci_local.testing import processes_of

if TYPE_CHECKING:
    from iac_ci_local.cloud import LocalCloud


def peaks(cloud: LocalCloud) -> dict[str, float]:
    """Return the most megabytes that any living process of each function ever held, by the function's short name.

    The kernel keeps the peak as long as a process lives, and the local cloud keeps functions alive between calls.
    """
    found: dict[str, float] = {}
    prefix = f"{cloud.stack_name}-"
    for pid in processes_of(cloud.aws.folder):
        with contextlib.suppress(OSError):
            process = Path(f"/proc/{pid}")
            told = re.search(rb"(?:^|\0)AWS_LAMBDA_FUNCTION_NAME=([^\0]*)", (process / "environ").read_bytes())
            # The process itself and what it started share the peak of their name: commands belong to their worker.
            peak = re.search(r"VmHWM:\s*(\d+) kB", (process / "status").read_text("utf-8"))
            if told is not None and peak is not None:
                name = told.group(1).decode().removeprefix(prefix)
                found[name] = max(found.get(name, 0.0), round(int(peak.group(1)) / 1024, 1))
    return found
