"""The temporary, private folder of one order."""

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
    """The folders of an order. The commands use ``code``, ``home`` and ``temporary``, the worker the others."""

    root: Path

    @property
    def code(self) -> Path:
        """Return the folder of the unpacked code, in which the commands run."""
        return self.root / "code"

    @property
    def home(self) -> Path:
        """Return ``HOME`` of the commands."""
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        """Return ``TMPDIR`` of the commands."""
        return self.root / "tmp"

    @property
    def engine(self) -> Path:
        """Return the folder of the archives and the log."""
        return self.root / "engine"

    @property
    def log(self) -> Path:
        """Return the path of the redacted log."""
        return self.engine / "order.log"


@contextlib.contextmanager
def open_workspace() -> Iterator[Workspace]:
    """Create a workspace that only this user can read, and remove it at the end."""
    root = Path(tempfile.mkdtemp(prefix="iac-ci-order-")).resolve()
    workspace = Workspace(root)
    try:
        for folder in (workspace.code, workspace.home, workspace.temporary, workspace.engine):
            folder.mkdir(mode=0o700)
        yield workspace
    finally:
        shutil.rmtree(root, onerror=_open_and_retry)


def _open_and_retry(remove: Callable[[str], Any], path: str, error: object) -> None:
    """Remove files that the commands made read-only; files that cannot be removed stay until the sandbox ends."""
    del error
    with contextlib.suppress(OSError):
        for part in (Path(path).parent, Path(path)):
            if not part.is_symlink():
                part.chmod(stat.S_IRWXU)
        if remove in {os.open, os.scandir}:
            shutil.rmtree(path, ignore_errors=True)
        else:
            remove(path)
