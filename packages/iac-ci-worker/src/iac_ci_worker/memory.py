"""Reads how often the kernel has killed a process of this container because its memory was used up."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_GROUP: Final = Path("/sys/fs/cgroup")
_FILES: Final = ("memory.events", "memory/memory.oom_control")
"""Of control groups of version 2 and 1, as a container sees its own."""


def memory_kills(group: Path = _GROUP) -> int:
    """Return the count; 0 where the system does not show it."""
    for name in _FILES:
        try:
            lines = (group / name).read_text("ascii").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        counts = dict(line.split(" ", 1) for line in lines if " " in line)
        return int(counts.get("oom_kill", "0"))
    return 0


__all__ = ["memory_kills"]
