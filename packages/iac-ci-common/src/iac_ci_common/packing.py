"""Zip archives of code and packages: equal folders give equal bytes, and no entry points outside its folder."""

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
from iac_ci_common.left_out import MAX_IGNORE_BYTES, LeftOut
from iac_ci_common.limits import MAX_NAMES_IN_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_TREE_BYTES: Final = 1024 * 1024 * 1024
"""Most bytes of an unpacked folder: two folders and a repository's objects fit the functions' ephemeral storage."""

MAX_ENTRIES: Final = 100_000
"""Most files, folders and links in an archive."""

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""Earliest time in the zip format. Every entry has it, so that archives differ only if their content does."""

_CHUNK: Final = 1024 * 1024

_WINDOWS: Final = frozenset({0, 10, 11, 14})
"""An archive made on MS-DOS or Windows (APPNOTE.TXT 4.4.2; Info-ZIP numbers Windows 11)."""

_MSDOS_FOLDER: Final = 0x10
"""The attribute of folders on MS-DOS and Windows (APPNOTE.TXT 4.4.15)."""

_ENCRYPTED: Final = 0x1
"""The flag of an entry that needs a password (APPNOTE.TXT 4.4.4)."""

_UTF8: Final = 0x800
"""The flag of an entry whose name is UTF-8; other names are in code page 437 (APPNOTE.TXT 4.4.4 and appendix D)."""

_LINK_CHARS: Final = 4096
"""Longest target of a link that the kernel accepts, in characters (path_resolution(7), PATH_MAX)."""

_LEAVE_OUT: Final = f"leave it out with a line in {LeftOut.FILE_NAME}"
_REMEDY: Final = f"replace the link, or {_LEAVE_OUT}"

_DRIVE = re.compile(r"[A-Za-z]:")
_INVALID_NAME: Final = frozenset({errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EILSEQ})


def pack(folder: Path, archive: Path, *, paths: Iterable[str] | None = None) -> None:
    """Pack a folder, or only ``paths`` of it, into a zip with mode 0600.

    Execute bits and symbolic links inside the folder are kept. Raises ``PackageUnsafe`` for links to the outside,
    devices, sockets and pipes, for names that ``unpack`` refuses, and beyond the limits; ``OSError`` for files that
    cannot be read.
    """
    root = folder.resolve(strict=True)
    names = sorted(paths) if paths is not None else sorted(LeftOut().files(root))
    if len(names) > MAX_ENTRIES:
        raise PackageUnsafe(f"the folder has more than {MAX_ENTRIES} entries; remove some or use a smaller folder")
    total = 0
    descriptor = os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as raw, zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as zipped:
        for name in names:
            path = root / name
            mode = path.lstat().st_mode
            total += _add(zipped, root, name, path, mode)
            if total > MAX_TREE_BYTES:
                raise PackageUnsafe(f"the folder has more than {MAX_TREE_BYTES} bytes; remove large files")


def write(archive: BinaryIO, files: Mapping[str, bytes]) -> None:
    """Pack files from memory, with mode 0600 and without their times."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, body in sorted(files.items()):
            zipped.writestr(_entry(name, stat.S_IFREG | 0o600), body)


def unpack(archive: Path, folder: Path, *, use_ignore_file: bool = False) -> None:
    """Unpack a zip into an existing, empty folder.

    Backslashes of archives made on Windows separate folders, as they do there. With ``use_ignore_file``, what the
    archive's ``.iac-ci-ignore`` leaves out is neither checked nor unpacked. Raises ``PackageUnsafe`` for a file that
    is not a zip, for absolute paths and ``..``, links to the outside, entries
    of other types or with a password, names of files that are there twice, and beyond the limits. Sizes are counted
    while unpacking, not read from the archive's headers.
    """
    root = folder.resolve(strict=True)
    try:
        with zipfile.ZipFile(archive) as zipped:
            entries = _entries(zipped)
            if use_ignore_file:
                left_out = _left_out(zipped, entries)
                entries = [entry for entry in entries if _as_path(entry) not in left_out]
            _check_names(entries)
            free = MAX_TREE_BYTES
            # Links are created last, so that nothing is written through one.
            for entry in sorted(entries, key=_is_link):
                free -= _extract(zipped, entry, root, free)
                if free < 0:
                    raise PackageUnsafe(f"the archive unpacks to more than {MAX_TREE_BYTES} bytes")
            for entry in filter(_is_link, entries):
                _check_resolved(root, entry.filename)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise PackageUnsafe(f"not a valid zip archive: {error}") from error
    except OSError as error:
        # One entry is a file where another needs a folder, or the file system refuses a name.
        if error.errno not in _INVALID_NAME:
            raise
        raise PackageUnsafe(f"an entry of the zip archive cannot be unpacked: {error.strerror}") from error


def _add(zipped: zipfile.ZipFile, root: Path, name: str, path: Path, mode: int) -> int:
    _check_name(name)
    # A parent folder that is a link could point outside the folder.
    if path.parent.resolve() != (root / name).parent:
        raise PackageUnsafe(f"{name!r:.80} is below a symbolic link or outside the folder")
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
        raise PackageUnsafe(f"{name!r:.80} is not a file, a folder or a symbolic link")
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
    """Raise ``PackageUnsafe`` for a link whose target, resolved as text, is outside the folder."""
    if not _is_text(target) or "\0" in target:
        raise PackageUnsafe(f"{name!r:.80} links to {target!r:.80}, which is not valid UTF-8; {_REMEDY}")
    if not target or target.startswith("/"):
        raise PackageUnsafe(f"{name!r:.80} links to {target!r:.80}, outside the folder; {_REMEDY}")
    depth = len(PurePosixPath(name).parent.parts)
    for part in PurePosixPath(target).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            raise PackageUnsafe(f"{name!r:.80} links to {target!r:.80}, outside the folder; {_REMEDY}")


def _check_resolved(root: Path, name: str) -> None:
    """Raise ``PackageUnsafe`` for a link that points outside by other links: ``a → b/..`` with ``b → .``."""
    if not Path(os.path.realpath(root / name)).is_relative_to(root):
        raise PackageUnsafe(f"{name!r:.80} links to a path outside the folder; {_REMEDY}")


def _is_text(name: str) -> bool:
    """Return whether a name is valid UTF-8, as names in a zip must be."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def name_problem(name: str) -> str | None:
    """Return why ``pack`` and ``unpack`` refuse a name, None if they take it."""
    parts = PurePosixPath(name).parts
    problems = (
        (not parts, "is empty"),
        (name.startswith("/"), "is an absolute path"),
        (_DRIVE.match(name), "begins like a drive of Windows"),
        (".." in parts, "contains '..'"),
        ("\\" in name, "contains a backslash"),
        ("\0" in name, "contains a NUL character"),
        (not _is_text(name), "is not valid UTF-8"),
        (len(parts) > MAX_NAMES_IN_PATH, f"is in more than {MAX_NAMES_IN_PATH - 1} folders inside one another"),
    )
    return next((problem for found, problem in problems if found), None)


def _check_name(name: str) -> tuple[str, ...]:
    """Return a name's parts; raise ``PackageUnsafe`` for a name that is outside the folder on any system."""
    if (problem := name_problem(name)) is not None:
        raise PackageUnsafe(f"the file name {name!r:.80} {problem}; rename it, or {_LEAVE_OUT}")
    return PurePosixPath(name).parts


def _check_names(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise PackageUnsafe(f"the archive has more than {MAX_ENTRIES} entries")
    seen: dict[str, bool] = {}
    links = {entry.filename.rstrip("/") for entry in entries if _is_link(entry)}
    for entry in entries:
        name = entry.filename
        parts = _check_name(name)
        if entry.flag_bits & _ENCRYPTED:
            raise PackageUnsafe(f"{name!r:.80} is encrypted; pack it without a password")
        if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise PackageUnsafe(f"{name!r:.80} is compressed with another method than deflate")
        plain = "/".join(parts)
        # Archivers that join several folders list a folder once for each.
        if plain in seen and not (seen[plain] and _is_folder(entry)):
            raise PackageUnsafe(f"{name!r:.80} is in the archive twice")
        seen[plain] = _is_folder(entry)
        if any("/".join(parts[:depth]) in links for depth in range(1, len(parts))):
            raise PackageUnsafe(f"{name!r:.80} is below a symbolic link")


def _entries(zipped: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the entries without the folder itself, which some archivers name ``./``; raise ``PackageUnsafe``."""
    entries = zipped.infolist()
    if entries and all(entry.header_offset > 0 for entry in entries):
        # Of archives that were written one after another, only the last one's entries are listed.
        raise PackageUnsafe("the archive has other bytes before its first file; pack all files into one archive")
    for entry in entries:
        _decode_name(entry)
        _from_windows(entry)
    return [entry for entry in entries if entry.filename not in {".", "./"}]


def _left_out(zipped: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> LeftOut:
    found = [entry for entry in entries if _as_path(entry) == LeftOut.FILE_NAME and not _is_link(entry)]
    if not found:
        return LeftOut()
    with zipped.open(found[-1]) as source:
        return LeftOut.read(source.read(MAX_IGNORE_BYTES + 1))


def _as_path(entry: zipfile.ZipInfo) -> str:
    """Return the path of an entry as patterns name it; a folder's ends with a slash."""
    return entry.filename.removeprefix("./").rstrip("/") + ("/" if _is_folder(entry) else "")


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    """Return whether an entry is a folder; not every archiver ends its name with a slash."""
    return (
        entry.is_dir()
        or stat.S_ISDIR(entry.external_attr >> 16)
        or (entry.create_system in _WINDOWS and bool(entry.external_attr & _MSDOS_FOLDER))
    )


def _decode_name(entry: zipfile.ZipInfo) -> None:
    """Read a name without the flag of UTF-8 as it was on the disk: Info-ZIP and macOS write UTF-8 without the flag."""
    if not entry.flag_bits & _UTF8 and not entry.filename.isascii():
        name = entry.filename.encode("cp437").decode("utf-8", "surrogateescape")
        if entry.create_system not in _WINDOWS or _is_text(name):
            entry.filename = name


def _from_windows(entry: zipfile.ZipInfo) -> None:
    """Replace the separators of an entry that was made on Windows by those of the format.

    The format has "/" only (APPNOTE.TXT 4.4.17.1), but archivers of .NET before 4.6.1 and others write backslashes.
    """
    if entry.create_system in _WINDOWS:
        entry.filename = entry.filename.replace("\\", "/")


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> 16)


def _extract(zipped: zipfile.ZipFile, entry: zipfile.ZipInfo, root: Path, free: int) -> int:
    mode = entry.external_attr >> 16
    path = root / entry.filename
    if _is_folder(entry):
        path.mkdir(parents=True, exist_ok=True, mode=0o755)
        return 0
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    if _is_link(entry):
        with zipped.open(entry) as source:
            target = source.read(_LINK_CHARS + 1).decode()
        if len(target) > _LINK_CHARS:
            raise PackageUnsafe(f"{entry.filename!r:.80} links to a path of more than {_LINK_CHARS} characters")
        _check_link(entry.filename, target)
        path.symlink_to(target)
        return 0
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        raise PackageUnsafe(f"{entry.filename!r:.80} is not a file, a folder or a symbolic link")
    size = 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o755 if mode & stat.S_IXUSR else 0o644)
    with os.fdopen(descriptor, "wb") as sink, zipped.open(entry) as source:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > free:
                break
            sink.write(chunk)
    return size
