"""Where the stand-ins are laid out: inside the checkout, under names that say what is in them.

A folder is made beside its place and renamed into it, so that another run finds all of it or nothing; its name holds
the digest of its content, so that no run changes what another one already uses.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
TOOLS: Final = ROOT / ".tools/offline"


def digest_of(*parts: str | bytes) -> str:
    """Return a short digest of texts; they are kept apart."""
    found = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        found.update(len(content).to_bytes(8, "big") + content)
    return found.hexdigest()[:16]


def lay_out(name: str, content: str, fill: Callable[[Path, Path], None]) -> Path:
    """Return the folder ``name-DIGEST OF content``; where there is none, have ``fill(folder, final)`` make it."""
    final = TOOLS / f"{name}-{digest_of(content)}"
    if final.is_dir():
        return final
    TOOLS.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=TOOLS))
    try:
        made.chmod(0o755)
        fill(made, final)
        try:
            made.rename(final)
        except OSError:
            if not final.is_dir():
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return final


def write_program(path: Path, text: str) -> None:
    """Write an executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o755)


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a lock that other processes wait for; it ends with the process, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
