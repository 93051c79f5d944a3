"""The folder of one order: fresh, private, and gone afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where an order's things are. ``code``, ``home`` and ``temporary`` are the commands', the rest is ours."""

    root: Path

    @property
    def code(self) -> Path:
        """The unpacked code, in which the commands run."""
        return self.root / "code"

    @property
    def home(self) -> Path:
        """``HOME`` of the commands."""
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        """``TMPDIR`` of the commands."""
        return self.root / "tmp"

    @property
    def engine(self) -> Path:
        """Archives and the log."""
        return self.root / "engine"

    @property
    def log(self) -> Path:
        """The redacted log."""
        return self.engine / "order.log"


@contextlib.contextmanager
def workspace() -> Iterator[Workspace]:
    """Make a workspace that is readable by us alone, and remove it whatever happens."""
    root = Path(tempfile.mkdtemp(prefix="iac-ci-order-")).resolve()
    place = Workspace(root)
    try:
        for folder in (place.code, place.home, place.temporary, place.engine):
            folder.mkdir(mode=0o700)
        yield place
    finally:
        shutil.rmtree(root, onerror=_open_and_retry)


def _open_and_retry(remove: Callable[[str], Any], path: str, error: object) -> None:
    """Remove what the commands made read-only; what still stays is left to the end of the sandbox."""
    del error
    with contextlib.suppress(OSError):
        for part in (Path(path).parent, Path(path)):
            if not part.is_symlink():
                part.chmod(stat.S_IRWXU)
        if remove in {os.open, os.scandir}:
            shutil.rmtree(path, ignore_errors=True)
        else:
            remove(path)
