"""Reads the peak memory of the functions' processes (Linux)."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from iac_ci_local.testing import processes_of

if TYPE_CHECKING:
    from iac_ci_local.cloud import LocalCloud


def processes(cloud: LocalCloud) -> dict[int, str]:
    """Return the functions' processes: each one's short name by the number of the process.

    A process and its children have the same name here: commands count for their worker.
    """
    found: dict[int, str] = {}
    prefix = f"{cloud.stack_name}-"
    for pid in processes_of(cloud.aws.folder):
        with contextlib.suppress(OSError):
            name_entry = re.search(
                rb"(?:^|\0)AWS_LAMBDA_FUNCTION_NAME=([^\0]*)", Path(f"/proc/{pid}/environ").read_bytes()
            )
            if name_entry is not None:
                found[pid] = name_entry.group(1).decode().removeprefix(prefix)
    return found


def peaks(cloud: LocalCloud) -> dict[str, float]:
    """Return the peak memory in megabytes of each function's processes, by the function's short name.

    The kernel stores the peak while a process lives, and the local cloud keeps processes between calls.
    """
    found: dict[str, float] = {}
    for pid, name in processes(cloud).items():
        with contextlib.suppress(OSError):
            peak = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text("utf-8"))
            if peak is not None:
                found[name] = max(found.get(name, 0.0), round(int(peak.group(1)) / 1024, 1))
    return found
