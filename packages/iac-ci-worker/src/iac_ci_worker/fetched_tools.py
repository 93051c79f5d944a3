"""Fetches the tools of an order into a folder that comes first on the commands' PATH."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from functools import partial
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import PackageUnsafe
from iac_ci_common.models.tools import Tool

if TYPE_CHECKING:
    from pathlib import Path

    from iac_ci_common.models.manifest import Manifest
    from iac_ci_common.models.tools import StoredTool
    from iac_ci_common.models.work import WorkUrls
    from iac_ci_worker.presigned import PresignedObjects
    from iac_ci_worker.rights import Rights
    from iac_ci_worker.workspace import Workspace

_MOST_BYTES: Final = 512 * 1024 * 1024
"""Largest program, in bytes, unpacked."""


def fetch_tools(manifest: Manifest, rights: Rights, objects: PresignedObjects, workspace: Workspace) -> None:
    """Write the programs of the order's tools into ``workspace.tools``; only the worker may change them there.

    Raises ``PackageUnsafe`` for a release that is not the prepared one, ``NotFound``, ``TradeRefused`` or
    ``PortFailed``.
    """
    for wanted in manifest.tools or ():
        release = workspace.engine / f"{wanted.tool}.release"
        rights.use(partial(_url, sha256=wanted.sha256), partial(objects.fetch, path=release))
        _check(release, wanted)
        _unpack(release, workspace.tools / Tool(wanted.tool).program)
        release.unlink()


def _url(urls: WorkUrls, sha256: str) -> str | None:
    return urls.tools.get(sha256)


def _check(release: Path, wanted: StoredTool) -> None:
    with release.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted.sha256:
        raise PackageUnsafe(
            f"{wanted.tool} {wanted.version} is not the release that was prepared for the run: its SHA-256 is {found}, "
            f"not {wanted.sha256}; find out who wrote {wanted.key}"
        )


def _is_archive(release: Path) -> bool:
    """Return whether a release begins as a zip archive does; a program may have one at its end."""
    with release.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _unpack(release: Path, program: Path) -> None:
    """Write the program of an archive, or the release itself where it is no archive."""
    if not _is_archive(release):
        shutil.copyfile(release, program)
    else:
        with zipfile.ZipFile(release) as archive:
            try:
                entry = archive.getinfo(program.name)
            except KeyError:
                raise PackageUnsafe(f"the release has no program {program.name}") from None
            if entry.file_size > _MOST_BYTES:
                raise PackageUnsafe(f"{program.name} has more than {_MOST_BYTES} bytes")
            with archive.open(entry) as source, program.open("wb") as target:
                shutil.copyfileobj(source, target, 1024 * 1024)
    program.chmod(0o755)
