"""Makes the file system of a sandbox in a mount namespace of its own. Linux 5.12 or newer, as root."""

from __future__ import annotations

import ctypes
import os
import stat
from pathlib import Path

_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_AT_FDCWD, _AT_RECURSIVE, _AT_EMPTY_PATH = -100, 0x8000, 0x1000
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH, _MOUNT_ATTR_RDONLY = 1, 4, 1
_MS_NOSUID, _MS_NODEV = 2, 4
_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}
_COVERED = ("/tmp", "/root", "/home")  # noqa: S108 - mount points

_libc = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "namespace")]


def enter(needed: list[str], storage_mb: int, user: int, group: int) -> None:
    """Make everything read-only but a new ``/tmp``, and ``/dev`` bare.

    Folders in ``needed`` that lie where other users may not look, or below ``/tmp``, stay at their paths.
    """
    folders = _outermost(needed)
    covered = [top for top in _outermost([*_COVERED, *_closed(folders)]) if top not in folders]
    kept = {path: _clone(path) for path in folders if any(path.startswith(f"{top}/") for top in covered)}
    _read_only(_AT_FDCWD, "/")
    for top in covered:
        options = f"mode=700,uid={user},gid={group},size={storage_mb}m" if top == "/tmp" else "mode=755"  # noqa: S108
        _mount("tmpfs", top, options)
    for path, tree in kept.items():
        _read_only(tree, "")
        target = Path(path)
        target.mkdir(parents=True, exist_ok=True)
        _call(_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
        os.close(tree)
    for top in covered:
        if top != "/tmp":  # noqa: S108
            _read_only(_AT_FDCWD, top)
    _mount("proc", "/proc", "")
    _mount("tmpfs", "/dev", "mode=755", flags=_MS_NOSUID)
    for name, (major, minor) in _DEVICES.items():
        device = Path("/dev", name)
        os.mknod(device, stat.S_IFCHR, os.makedev(major, minor))
        device.chmod(0o666)
    _read_only(_AT_FDCWD, "/dev")


def _closed(paths: list[str]) -> list[str]:
    """Return the folders above the paths into which other users may not go."""
    above = {str(folder) for path in paths for folder in Path(path).parents}
    return [folder for folder in above if not Path(folder).stat().st_mode & stat.S_IXOTH]


def _outermost(paths: list[str]) -> list[str]:
    """Return the existing folders among the paths without those inside another one."""
    found: list[str] = []
    for path in sorted({os.path.realpath(path) for path in paths if path} | {path for path in paths if path}):
        if Path(path).is_dir() and not any(path == outer or path.startswith(f"{outer}/") for outer in found):
            found.append(path)
    return found


def _clone(path: str) -> int:
    return _call(_OPEN_TREE, _AT_FDCWD, os.fsencode(path), _OPEN_TREE_CLONE | _AT_RECURSIVE | os.O_CLOEXEC)


def _read_only(tree: int, path: str) -> None:
    attributes = _Attributes(set=_MOUNT_ATTR_RDONLY)
    flags = _AT_RECURSIVE | (0 if path else _AT_EMPTY_PATH)
    _call(_MOUNT_SETATTR, tree, os.fsencode(path), flags, ctypes.byref(attributes), ctypes.sizeof(attributes))


def _mount(kind: str, target: str, options: str, flags: int = _MS_NOSUID | _MS_NODEV) -> None:
    texts = [os.fsencode(text) for text in (kind, target, kind, options)]
    if _libc.mount(texts[0], texts[1], texts[2], flags, texts[3]) != 0:
        _fail(target)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        _fail(str(number))
    return result


def _fail(subject: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), subject)
