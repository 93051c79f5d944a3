"""Archives of code and packages: the same tree gives the same bytes, and nothing in one leaves its folder."""

from __future__ import annotations

import errno
import os
import re
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Final

from iac_ci_common.errors import PackageUnsafe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_TREE_BYTES: Final = 1024 * 1024 * 1024
"""Most bytes of an unpacked tree: two of them and a repository's objects fit the functions' ephemeral storage."""

MAX_ENTRIES: Final = 100_000
"""Most files, folders and links of a tree."""

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""Earliest time that a zip can hold: every entry gets it, so that archives differ only if their content does."""

_CHUNK: Final = 1024 * 1024

_LINK_CHARS: Final = 4096
"""Longest target of a link that the kernel takes (path_resolution(7), PATH_MAX)."""

_DRIVE = re.compile(r"[A-Za-z]:")
_UNNAMEABLE: Final = frozenset({errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EILSEQ})


def pack(folder: Path, archive: Path, *, paths: Iterable[str] | None = None) -> None:
    """Pack a folder, or only ``paths`` of it, into a zip with mode 0600.

    Execute bits and symbolic links that stay inside are kept. Raises ``PackageUnsafe`` for links that leave the
    folder, for devices, sockets and pipes, for names that ``unpack`` refuses, and beyond the limits; ``OSError`` for
    what cannot be read.
    """
    root = folder.resolve(strict=True)
    names = sorted(paths) if paths is not None else sorted(_walk(root))
    if len(names) > MAX_ENTRIES:
        raise PackageUnsafe(f"the tree holds more than {MAX_ENTRIES} entries")
    total = 0
    descriptor = os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as raw, zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as zipped:
        for name in names:
            path = root / name
            mode = path.lstat().st_mode
            total += _add(zipped, root, name, path, mode)
            if total > MAX_TREE_BYTES:
                raise PackageUnsafe(f"the tree holds more than {MAX_TREE_BYTES} bytes")


def write(archive: BinaryIO, files: Mapping[str, bytes]) -> None:
    """Pack a few files that are in memory, as ``pack`` would."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, body in sorted(files.items()):
            zipped.writestr(_entry(name, stat.S_IFREG | 0o600), body)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip into an existing, empty folder.

    Raises ``PackageUnsafe`` for anything that is no zip, for absolute paths and ``..``, links that leave the folder,
    entries of other kinds, names that occur twice, and beyond the limits: sizes are counted as they are unpacked, not
    as the archive claims them.
    """
    root = folder.resolve(strict=True)
    try:
        with zipfile.ZipFile(archive) as zipped:
            entries = zipped.infolist()
            _check_names(entries)
            room = MAX_TREE_BYTES
            # Links last: nothing is ever written through one.
            for entry in sorted(entries, key=_is_link):
                room -= _extract(zipped, entry, root, room)
                if room < 0:
                    raise PackageUnsafe(f"the archive unpacks to more than {MAX_TREE_BYTES} bytes")
            for entry in filter(_is_link, entries):
                _check_resolved(root, entry.filename)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise PackageUnsafe(f"this is not a zip that can be unpacked: {error}") from error
    except OSError as error:
        # One entry is a file where another needs a folder, or a name is one that no disk holds.
        if error.errno not in _UNNAMEABLE:
            raise
        raise PackageUnsafe(f"this is not a zip that can be unpacked: {error.strerror}") from error


def _walk(root: Path) -> Iterable[str]:
    def fail(error: OSError) -> None:
        raise error  # os.walk would pass over a folder that it cannot read: half a tree would look whole

    for current, folders, files in os.walk(root, onerror=fail):
        here = Path(current)
        linked = [name for name in folders if (here / name).is_symlink()]
        for name in [*files, *linked]:
            yield (here / name).relative_to(root).as_posix()
        if here != root and not files and not folders:
            yield here.relative_to(root).as_posix()


def _add(zipped: zipfile.ZipFile, root: Path, name: str, path: Path, mode: int) -> int:
    _check_name(name)
    # A parent that is a link could lead out of the tree under a harmless name.
    if path.parent.resolve() != (root / name).parent:
        raise PackageUnsafe(f"{name} lies behind a link or outside the folder")
    if stat.S_ISLNK(mode):
        target = str(path.readlink())
        _check_link(name, target)
        _check_resolved(root, name)
        zipped.writestr(_entry(name, stat.S_IFLNK | 0o777), target)
        return 0
    if stat.S_ISDIR(mode):
        zipped.writestr(_entry(name + "/", stat.S_IFDIR | 0o755), b"")
        return 0
    if not stat.S_ISREG(mode):
        raise PackageUnsafe(f"{name} is no file, folder or link")
    entry = _entry(name, stat.S_IFREG | (0o755 if mode & stat.S_IXUSR else 0o644))
    size = 0
    with path.open("rb") as source, zipped.open(entry, "w") as sink:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            sink.write(chunk)
    return size


def _entry(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = mode << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    return entry


def _check_link(name: str, target: str) -> None:
    """Refuse a link whose target, read as text from where the link stands, is outside."""
    if not target or target.startswith("/") or "\0" in target or not _is_text(target):
        raise PackageUnsafe(f"{name} links to {target!r:.80}, outside the folder")
    depth = len(PurePosixPath(name).parent.parts)
    for part in PurePosixPath(target).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            raise PackageUnsafe(f"{name} links to {target!r:.80}, outside the folder")


def _check_resolved(root: Path, name: str) -> None:
    """Refuse a link that leaves the folder by way of other links: ``a → b/..`` where ``b → .`` reads as harmless."""
    if not Path(os.path.realpath(root / name)).is_relative_to(root):
        raise PackageUnsafe(f"{name!r:.80} links to a place outside the folder")


def _is_text(name: str) -> bool:
    """Return whether a name is UTF-8: the names in a zip are."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _check_name(name: str) -> tuple[str, ...]:
    """Refuse a name that would leave the folder, here or where the archive is unpacked; return its parts."""
    parts = PurePosixPath(name).parts
    if (
        not parts
        or name.startswith("/")
        or "\\" in name
        or "\0" in name
        or ".." in parts
        or _DRIVE.match(name)
        or not _is_text(name)
    ):
        raise PackageUnsafe(f"{name!r:.80} would leave the folder")
    return parts


def _check_names(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise PackageUnsafe(f"the archive holds more than {MAX_ENTRIES} entries")
    seen: set[str] = set()
    links = {entry.filename.rstrip("/") for entry in entries if _is_link(entry)}
    for entry in entries:
        name = entry.filename
        parts = _check_name(name)
        if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise PackageUnsafe(f"{name!r:.80} is neither stored nor deflated")
        plain = "/".join(parts)
        if plain in seen:
            raise PackageUnsafe(f"{name!r:.80} occurs twice")
        seen.add(plain)
        if any("/".join(parts[:depth]) in links for depth in range(1, len(parts))):
            raise PackageUnsafe(f"{name!r:.80} lies behind a link")


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> 16)


def _extract(zipped: zipfile.ZipFile, entry: zipfile.ZipInfo, root: Path, room: int) -> int:
    mode = entry.external_attr >> 16
    path = root / entry.filename
    if entry.is_dir():
        path.mkdir(parents=True, exist_ok=True, mode=0o755)
        return 0
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    if _is_link(entry):
        with zipped.open(entry) as source:
            target = source.read(_LINK_CHARS + 1).decode()
        if len(target) > _LINK_CHARS:
            raise PackageUnsafe(f"{entry.filename!r:.80} links to a name that is too long")
        _check_link(entry.filename, target)
        path.symlink_to(target)
        return 0
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        raise PackageUnsafe(f"{entry.filename!r:.80} is no file, folder or link")
    size = 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o755 if mode & stat.S_IXUSR else 0o644)
    with os.fdopen(descriptor, "wb") as sink, zipped.open(entry) as source:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > room:
                break
            sink.write(chunk)
    return size
