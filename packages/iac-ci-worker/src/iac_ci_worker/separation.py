"""Separates the commands from the worker where the worker is root, as on CodeBuild."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.errors import SandboxUnfit
from iac_ci_worker.processes import ancestors

if TYPE_CHECKING:
    from collections.abc import Iterable

AGENT_FOLDER: Final = Path("/codebuild/output/tmp")
"""Where public reports show CodeBuild's ``env.sh``, with every variable and the address of the credentials, and
``script.sh``, the command."""

_SCRIPT: Final = "script.sh"
_VARIABLES: Final = "env.sh"


def separate_user(wanted: int | None) -> int | None:
    """Return the id of the user that the commands get; None where the worker may not change the user."""
    return wanted if os.geteuid() == 0 else None


def process_arguments(user: int | None) -> dict[str, Any]:
    """Return the arguments of ``Popen`` that start a process as ``user``, in its group only.

    The process has no capability, because it changes from root to another user, and gains none by starting a program,
    because the worker sets ``no_new_privs`` (capabilities(7), prctl(2)). The user is changed before the program starts:
    the commands' environment never reaches a process of root, in which a variable of the loader would run their code.
    """
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


def close_agent_folders() -> None:
    """Empty the folders of CodeBuild's agent and close them to other users; raise ``SandboxUnfit`` if that fails."""
    for folder in agent_folders(ancestors()):
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                os.fchown(descriptor, 0, 0)
                os.fchmod(descriptor, stat.S_IRWXU)
                for name in os.listdir(descriptor):  # noqa: PTH208 - of a descriptor
                    if not stat.S_ISDIR(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode):
                        os.unlink(name, dir_fd=descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise SandboxUnfit(
                f"{folder}, which shows the build's variables, could not be closed: {error.strerror}"
            ) from error


def agent_folders(pids: Iterable[int]) -> list[Path]:
    """Return the folders of the agent's files: the known one, and those of the scripts that the processes run.

    A folder counts only if it has both files: one of another program's script must not be emptied.
    """
    found = [AGENT_FOLDER]
    for pid in pids:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") if Path(f"/proc/{pid}").exists() else []
        found += [Path(os.fsdecode(word)).parent for word in words if Path(os.fsdecode(word)).name == _SCRIPT]
    return [folder for folder in dict.fromkeys(found) if folder.is_absolute() and _is_agents(folder)]


def _is_agents(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (_SCRIPT, _VARIABLES))


__all__ = ["AGENT_FOLDER", "agent_folders", "close_agent_folders", "process_arguments", "separate_user"]
