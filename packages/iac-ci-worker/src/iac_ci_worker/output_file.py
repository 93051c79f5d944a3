"""The file in which commands write the order's outputs: ``$IAC_CI_OUTPUT``."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common.order_outputs import MAX_FILE_BYTES, WrittenOutputs, parse_outputs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from iac_ci_worker.workspace import Workspace

VARIABLE: Final = "IAC_CI_OUTPUT"
_NAME: Final = "output"
_NOTHING: Final = WrittenOutputs({}, ())


@dataclass(frozen=True, slots=True)
class OutputFile:
    """The file, in a folder that this process keeps open: commands cannot put another folder in its place."""

    path: Path
    folder: int
    owner: int
    """User that the commands have."""

    def read(self) -> WrittenOutputs:
        """Return the outputs. Call this when no process of the commands is left.

        A link, a device, or a file of another user than the commands' is not read.
        """
        try:
            descriptor = os.open(_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self.folder)
        except FileNotFoundError:
            return _NOTHING
        except OSError as error:
            return WrittenOutputs({}, (f"the file cannot be read: {error.strerror}",))
        try:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode) or about.st_uid != self.owner:
                return WrittenOutputs({}, ("it is not a file of the order any more",))
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return parse_outputs(file.read(MAX_FILE_BYTES + 1))
        finally:
            os.close(descriptor)


@contextmanager
def output_file(workspace: Workspace) -> Iterator[OutputFile]:
    """Create the empty file in its own folder of the workspace. Call this before the workspace is handed over."""
    folder = os.open(workspace.outputs, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        path = workspace.outputs / _NAME
        path.touch(mode=0o600)
        yield OutputFile(path, folder, workspace.user if workspace.user is not None else os.geteuid())
    finally:
        os.close(folder)
