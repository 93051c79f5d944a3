"""What tests of and on the local cloud share."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def wait_until(condition: Callable[[], object], *, seconds: float = 30, what: str = "the condition") -> None:
    """Wait until ``condition`` holds; raise ``AssertionError`` naming ``what`` if it does not within ``seconds``."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"{what} did not come within {seconds} s")
        time.sleep(0.02)


def processes_of(folder: Path) -> set[int]:
    """Find every living process whose environment or arguments name a cloud's folder (Linux)."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                texts = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except OSError:  # it ended while we looked
                continue
            if str(folder).encode() in texts:
                found.add(int(entry.name))
    return found


def zipped(text: str) -> bytes:
    """Pack a module ``stub`` as a Lambda takes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("stub.py", text)
    return buffer.getvalue()
