"""Reads the peak memory of the functions' processes (Linux)."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from iac_ci_local.testing import processes_of

if TYPE_CHECKING:
    from iac_ci_local.cloud import LocalCloud


def peaks(cloud: LocalCloud) -> dict[str, float]:
    """Return the peak memory in megabytes of each function's processes, by the function's short name.

    The kernel stores the peak while a process lives, and the local cloud keeps processes between calls.
    """
    found: dict[str, float] = {}
    prefix = f"{cloud.stack_name}-"
    for pid in processes_of(cloud.aws.folder):
        with contextlib.suppress(OSError):
            process = Path(f"/proc/{pid}")
            name_entry = re.search(rb"(?:^|\0)AWS_LAMBDA_FUNCTION_NAME=([^\0]*)", (process / "environ").read_bytes())
            # A process and its children have the same name here: commands count for their worker.
            peak = re.search(r"VmHWM:\s*(\d+) kB", (process / "status").read_text("utf-8"))
            if name_entry is not None and peak is not None:
                name = name_entry.group(1).decode().removeprefix(prefix)
                found[name] = max(found.get(name, 0.0), round(int(peak.group(1)) / 1024, 1))
    return found
