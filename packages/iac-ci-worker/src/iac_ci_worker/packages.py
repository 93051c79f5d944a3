"""Reads an order's package: manifest, secrets, and the folder of code."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pydantic import ValidationError

from iac_ci_common.errors import PackageUnsafe
from iac_ci_common.models.manifest import IDENTITY_FIELD, IDENTITY_NAME, MANIFEST_NAME, SEALED_NAME, Manifest
from iac_ci_common.packing import unpack

if TYPE_CHECKING:
    from iac_ci_common.models.work import Work
    from iac_ci_common.ports import Sealer
    from iac_ci_worker.presigned import PresignedObjects
    from iac_ci_worker.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Package:
    """An order ready to run."""

    manifest: Manifest
    secrets: dict[str, str] = field(repr=False)
    folder: Path


def open_package(work: Work, place: Workspace, exchange: PresignedObjects, sealer: Sealer) -> Package:
    """Fetch and open an order's package and code; secrets stay in memory.

    Raises ``PackageUnsafe``, ``SealingFailed``, ``NotFound`` or ``PortFailed``.
    """
    archive = place.engine / "exec.zip"
    exchange.fetch(work.urls.package, archive)
    opened = place.engine / "package"
    opened.mkdir(mode=0o700)
    unpack(archive, opened)
    manifest = _manifest(work, opened)
    secrets = _secrets(manifest, opened, sealer)
    if work.urls.code is not None:
        code = place.engine / "code.zip"
        exchange.fetch(work.urls.code, code)
        unpack(code, place.code)
        code.unlink()
    return Package(manifest, secrets, _folder(manifest, place.code))


def _manifest(work: Work, opened: Path) -> Manifest:
    try:
        manifest = Manifest.model_validate_json((opened / MANIFEST_NAME).read_bytes())
    except (OSError, ValidationError) as error:
        raise PackageUnsafe(f"the package has no readable {MANIFEST_NAME}") from error
    if (manifest.run_id, manifest.order_num) != (work.run_id, work.order_num):
        raise PackageUnsafe("the package is another order's")
    return manifest


def _secrets(manifest: Manifest, opened: Path, sealer: Sealer) -> dict[str, str]:
    if not manifest.sealed:
        return {}
    try:
        identity = None
        if manifest.sealed_with_age:
            sealed_identity = (opened / IDENTITY_NAME).read_bytes()
            identity = sealer.unseal(sealed_identity, run_id=manifest.run_id)[IDENTITY_FIELD]
        return sealer.unseal((opened / SEALED_NAME).read_bytes(), run_id=manifest.run_id, age_identity=identity)
    except (OSError, KeyError) as error:
        raise PackageUnsafe("the package lacks its sealed secrets") from error


def _folder(manifest: Manifest, code: Path) -> Path:
    if manifest.folder is None:
        return code
    folder = Path(os.path.realpath(code / PurePosixPath(manifest.folder)))
    if not folder.is_relative_to(code.resolve()) or not folder.is_dir():
        raise PackageUnsafe(f"the code has no folder {manifest.folder!r:.200}")
    return folder
