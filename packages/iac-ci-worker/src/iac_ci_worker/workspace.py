"""The temporary, private folder of one order."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from iac_ci_common.errors import SandboxUnfit
from iac_ci_worker.leftovers import remove_entry, remove_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folders of an order. The commands use all but ``engine``, which is the worker's."""

    root: Path
    user: int | None = None
    """The commands' user, where it is another than the worker's."""

    log_descriptor: int | None = field(default=None, repr=False)

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
    def outputs(self) -> Path:
        """Return the folder of the file in which commands write outputs."""
        return self.root / "output"

    @property
    def credentials(self) -> Path:
        """Return the folder of the token with which commands ask for their role's credentials."""
        return self.root / "credentials"

    @property
    def tools(self) -> Path:
        """Return the folder of the order's fetched tools, which its commands' user cannot change."""
        return self.root / "tools"

    @property
    def engine(self) -> Path:
        """Return the folder of the archives, which is empty when the commands start."""
        return self.root / "engine"

    @property
    def log(self) -> Path:
        """Return the path of the redacted log.

        On Linux it names an open file of this process that is in no folder: commands can neither replace it nor keep
        the worker from opening it.
        """
        if self.log_descriptor is None:
            return self.engine / "order.log"
        return Path(f"/proc/self/fd/{self.log_descriptor}")

    @property
    def of_commands(self) -> tuple[Path, ...]:
        """Return the folders that are handed over to the commands' user."""
        return (self.code, self.home, self.temporary, self.outputs, self.credentials)

    def empty(self) -> None:
        """Remove what an attempt to open the order has unpacked."""
        for folder in (self.code, self.engine, self.tools):
            for entry in folder.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                elif entry != self.log:
                    entry.unlink()

    def hand_over(self, kept: Collection[Path] = ()) -> None:
        """Remove the archives, and give the commands' folders to their user, except the files ``kept``.

        Call it before the commands start.
        """
        for entry in self.engine.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry != self.log:
                entry.unlink()
        if self.user is None:
            return
        for top in self.of_commands:
            for folder, folders, files in os.walk(top):
                for path in (Path(folder, name) for name in (*folders, *files)):
                    if path not in kept:
                        os.chown(path, self.user, self.user, follow_symlinks=False)
            os.chown(top, self.user, self.user)
        # The commands reach their folders through this one, and cannot list it.
        self.root.chmod(stat.S_IRWXU | stat.S_IXGRP | stat.S_IXOTH)


@contextlib.contextmanager
def open_workspace(user: int | None = None, *, name: str | None = None) -> Iterator[Workspace]:
    """Create a workspace that only this user can read, until it is handed over, and remove it at the end.

    It lies below the folder of temporary files: under ``name`` where one order at a time runs, otherwise under a new
    name. Raises ``SandboxUnfit`` if what lies at that path cannot be removed.
    """
    root = _named_folder(name) if name else Path(tempfile.mkdtemp(prefix="iac-ci-order-")).resolve()
    log = _file_without_a_name(root) if sys.platform == "linux" else None
    workspace = Workspace(root, user, log)
    try:
        for folder in (*workspace.of_commands, workspace.engine):
            folder.mkdir(mode=0o700)
        workspace.tools.mkdir()
        workspace.tools.chmod(0o755)
        yield workspace
    finally:
        if log is not None:
            os.close(log)
        remove_folder(root)


def _named_folder(name: str) -> Path:
    """Return a new folder, in place of whatever an earlier order left at its path; no link is followed."""
    parent = Path(tempfile.gettempdir()).resolve()
    remove_entry(parent, name)
    root = parent / name
    try:
        # It fails for everything that exists, also for a link that leads nowhere (mkdir(2)).
        root.mkdir(mode=0o700)
    except FileExistsError as error:
        raise SandboxUnfit(f"{root}, the folder of the order, is held by something else") from error
    return root


def _file_without_a_name(folder: Path) -> int:
    """Return the descriptor of a new file that is in no folder, on the file system of ``folder``."""
    descriptor, name = tempfile.mkstemp(dir=folder)
    Path(name).unlink()
    return descriptor
