"""Puts files that earlier orders saved into an order's folder, before its commands start."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import PackageUnsafe
from iac_ci_common.globs import matches
from iac_ci_common.packing import unpack
from iac_ci_worker.sealed_objects import fetch, private_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iac_ci_common.models.manifest import Manifest, ManifestFiles
    from iac_ci_common.models.trade import BegunOrder
    from iac_ci_worker.presigned import PresignedObjects

_CHUNK: Final = 1024 * 1024
_MAX_MESSAGE: Final = 900
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def fetch_files(manifest: Manifest, begun: BegunOrder, objects: PresignedObjects, folder: Path) -> dict[str, Path]:
    """Fetch and unpack the files of other orders into a private folder; return each order's, by its number.

    An archive is unpacked by the rules of packing. Raises ``PackageUnsafe``, and ``UrlExpired``: then call this again.
    """
    taken = {order.order_num: order.files for order in begun.taken}
    unpacked: dict[str, Path] = {}
    for num, name in {wanted.order_num: wanted.order_name for wanted in manifest.restore or ()}.items():
        found = taken.get(num)
        if found is None:
            continue
        files = Path(tempfile.mkdtemp(dir=folder))
        with private_folder("restore") as private:
            archive = private / "plain"
            fetch(found, objects, private / "sealed", archive, f"the files of {name}")
            unpack(archive, files)
        unpacked[num] = files
    return unpacked


def restore_files(manifest: Manifest, unpacked: Mapping[str, Path], folder: Path) -> None:
    """Put the files that the manifest names below ``folder``, the one in which the commands run.

    Raises ``PackageUnsafe`` with every file that is missing, is there already, or would be written through a link.
    """
    problems: list[str] = []
    for wanted in manifest.restore or ():
        files = unpacked.get(wanted.order_num)
        if files is None:
            problems.append(f"{wanted.order_name} saved no files")
        else:
            problems += _restore(wanted, files, folder)
    if problems:
        raise PackageUnsafe("; ".join(problems)[:_MAX_MESSAGE])


def _restore(wanted: ManifestFiles, files: Path, folder: Path) -> Iterator[str]:
    names = sorted(path.relative_to(files).as_posix() for path in files.rglob("*") if path.is_file())
    names = [name for name in names if matches(wanted.files, name)]
    for pattern in wanted.files:
        if not pattern.startswith("!") and not any(matches([pattern], name) for name in names):
            yield f"{wanted.order_name} saved no file {pattern!r:.200}"
    for name in names:
        target = PurePosixPath(wanted.folder, name)
        if problem := write_file(files / name, folder, target, overwrite=wanted.overwrite):
            yield f"{str(target)!r:.200} {problem}"


def write_file(source: Path, folder: Path, target: PurePosixPath, *, overwrite: bool) -> str | None:
    """Write one file below ``folder``, no part of whose path is a link; return why it could not be."""
    descriptor = os.open(folder, _FOLDER)
    try:
        for part in target.parent.parts:
            inner = _open_folder(part, descriptor)
            if inner is None:
                return "is below a link or a file"
            os.close(descriptor)
            descriptor = inner
        if overwrite:
            _unlink(target.name, descriptor)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            written = os.open(target.name, flags, source.stat().st_mode & 0o777, dir_fd=descriptor)
        except FileExistsError:
            return "is in the code already; set overwrite: true to replace it"
        with os.fdopen(written, "wb") as sink, source.open("rb") as content:
            shutil.copyfileobj(content, sink, _CHUNK)
        return None
    finally:
        os.close(descriptor)


def _open_folder(name: str, parent: int) -> int | None:
    """Return the descriptor of a folder, made if it is missing; None for anything else of that name."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=parent)
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except OSError:
        return None


def _unlink(name: str, folder: int) -> None:
    """Remove a file or a link; a folder of that name stays and is then in the way."""
    try:
        os.unlink(name, dir_fd=folder)
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        return
