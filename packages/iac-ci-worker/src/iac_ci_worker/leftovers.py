"""Ends and removes what earlier orders left in this sandbox, before the next order begins.

Cleaning at the end of an order is not enough: a command can kill the worker, and Lambda keeps ``/tmp`` and background
processes through crashes and time-outs (AWS Lambda Developer Guide, "Lambda execution environment lifecycle").
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import stat
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import SandboxUnfit
from iac_ci_worker.processes import ancestors, descendants, processes

if TYPE_CHECKING:
    from collections.abc import Sequence

WHOLE_SANDBOX: Final = 1
"""The process below which everything is, in a sandbox of one's own."""

PLACES: Final = (
    *("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock", "/run/shm"),  # noqa: S108
    *("/var/spool/cron", "/var/spool/cron/crontabs", "/var/spool/at", "/var/mail"),
)
"""Folders that a system lets every user write, and those of jobs that a user leaves to be run later."""

_END_SECONDS: Final = 10.0
_IPC_REMOVE: Final = 0
_KEYCTL: Final = {"x86_64": 250, "aarch64": 219}
_KEYCTL_CLEAR: Final = 7
_KEYRINGS: Final = (-4, -5)
_RUNTIME_VARIABLE: Final = "AWS_LAMBDA_RUNTIME_API"


def remove_leftovers(below: int) -> None:
    """End every process of this user below the process ``below``, and empty every place that it can write.

    With ``below`` 1 that is the whole sandbox; this works in a Lambda function only, never as root, so that no other
    machine is ever cleaned. Another number is a process that keeps the sandboxes of tests, whose only place is the
    folder of temporary files. 0 does nothing. Raises ``SandboxUnfit`` if something is left.
    """
    if below == 0 or os.geteuid() == 0 or (below == WHOLE_SANDBOX and _RUNTIME_VARIABLE not in os.environ):
        return
    _end_processes(below)
    if below != WHOLE_SANDBOX:
        _empty_all([tempfile.gettempdir()])
        return
    home = os.environ.get("HOME", "/")
    _empty_all([*PLACES, f"/run/user/{os.getuid()}", *([home] if Path(home).parent != Path(home) else [])])
    _remove_shared_memory()
    _clear_keyrings()


def _end_processes(below: int) -> None:
    """Stop, then kill: what is stopped cannot start another process between two looks."""
    kept = {os.getpid(), *ancestors()}
    until = time.monotonic() + _END_SECONDS
    while found := [pid for pid in _processes_below(below) if pid not in kept and _is_own(pid)]:
        for kind in (signal.SIGSTOP, signal.SIGKILL):
            for pid in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, kind)
        for pid in found:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > until:
            raise SandboxUnfit(f"{len(found)} processes of an earlier order could not be ended")
        time.sleep(0.01)


def _processes_below(below: int) -> Sequence[int]:
    return list(processes()) if below == WHOLE_SANDBOX else descendants(below)


def _is_own(pid: int) -> bool:
    """Return whether a live process is this user's.

    The owner of its folder in ``/proc`` does not tell: it is root for a process that is not dumpable (proc(5)).
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:  # the process has ended meanwhile
        return False
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return str(os.getuid()) in fields.get("Uid", "").split() and not fields.get("State", "").startswith("Z")


def _empty_all(places: Sequence[str]) -> None:
    left: list[str] = []
    for folder in dict.fromkeys(os.path.realpath(path) for path in places):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            left += [f"{folder}/{name}" for name in _empty(Path(folder))]
    if left:
        raise SandboxUnfit(f"files of an earlier order could not be removed: {', '.join(left)[:500]}")


def _empty(folder: Path) -> list[str]:
    """Remove what is in a folder; return the names that this user owns and that are still there.

    Each folder inside is moved up before it is emptied, so that no path is too long and nothing recurses, however deep
    an order nested them.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        pending = os.listdir(descriptor)  # noqa: PTH208 - of a descriptor
        while pending:
            pending += _remove(pending.pop(), descriptor)
        names = os.listdir(descriptor)  # noqa: PTH208 - of a descriptor
        return [name for name in names if _owner(name, descriptor) == os.getuid()]
    finally:
        os.close(descriptor)


def remove_entry(folder: Path, name: str) -> None:
    """Remove what lies under ``name`` in ``folder``, if anything does; raise ``SandboxUnfit`` if something stays."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        pending = [name]
        while pending:
            one = pending.pop()
            pending += _remove(one, descriptor)
            with contextlib.suppress(FileNotFoundError):
                os.stat(one, dir_fd=descriptor, follow_symlinks=False)
                raise SandboxUnfit(f"{folder / one}, which an earlier order left, could not be removed")
    finally:
        os.close(descriptor)


def remove_folder(folder: Path) -> None:
    """Remove a folder of this user with what is in it; what cannot be removed stays."""
    with contextlib.suppress(OSError):
        folder.chmod(stat.S_IRWXU)
        _empty(folder)
        folder.rmdir()


def _remove(name: str, folder: int) -> list[str]:
    """Remove an entry; return the names of the folders that it held, which are now beside it."""
    moved: list[str] = []
    with contextlib.suppress(OSError):
        if not _is_folder(name, folder):
            os.unlink(name, dir_fd=folder)
            return moved
        os.chmod(name, stat.S_IRWXU, dir_fd=folder)
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
        try:
            for child in os.listdir(inner):  # noqa: PTH208 - of a descriptor
                with contextlib.suppress(OSError):
                    if not _is_folder(child, inner):
                        os.unlink(child, dir_fd=inner)
                        continue
                    # Moving a folder changes the folder itself.
                    os.chmod(child, stat.S_IRWXU, dir_fd=inner)
                    beside = uuid.uuid4().hex
                    os.rename(child, beside, src_dir_fd=inner, dst_dir_fd=folder)
                    moved.append(beside)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=folder)
    return moved


def _is_folder(name: str, folder: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _owner(name: str, folder: int) -> int:
    return os.stat(name, dir_fd=folder, follow_symlinks=False).st_uid


def _remove_shared_memory() -> None:
    """Remove this user's System V segments, semaphores and message queues."""
    library = ctypes.CDLL(None, use_errno=True)
    # A set of semaphores is removed as a whole: the second argument, the number of one, does not count.
    arguments = {"shm": (_IPC_REMOVE, None), "msg": (_IPC_REMOVE, None), "sem": (0, _IPC_REMOVE)}
    for kind, further in arguments.items():
        for number in _own_ipc(kind):
            getattr(library, f"{kind}ctl")(number, *further)
        if left := _own_ipc(kind):
            raise SandboxUnfit(f"{len(left)} System V objects of an earlier order could not be removed")


def _own_ipc(kind: str) -> list[int]:
    try:
        lines = Path(f"/proc/sysvipc/{kind}").read_text("ascii").splitlines()
    except OSError:  # the kernel has none
        return []
    names = lines[0].split()
    rows = [dict(zip(names, line.split(), strict=False)) for line in lines[1:]]
    return [int(row[f"{kind}id"]) for row in rows if int(row["uid"]) == os.getuid()]


def _clear_keyrings() -> None:
    """Clear the user's kernel keyrings; a kernel or a sandbox without them is not an error."""
    number = _KEYCTL.get(platform.machine())
    if number is not None:
        for ring in _KEYRINGS:
            ctypes.CDLL(None).syscall(number, _KEYCTL_CLEAR, ring)


__all__ = ["PLACES", "WHOLE_SANDBOX", "remove_entry", "remove_folder", "remove_leftovers"]
