"""Reads an order's package: manifest, secrets, and code."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import ValidationError

from iac_ci_common.errors import IacCiError, PackageUnsafe, UrlExpired
from iac_ci_common.models.manifest import IDENTITY_FIELD, IDENTITY_NAME, MANIFEST_NAME, SEALED_NAME, Manifest
from iac_ci_common.models.trade import RoleCredentials
from iac_ci_common.packing import unpack
from iac_ci_worker.engine_tool import engine_tool, needed_tool
from iac_ci_worker.fetched_tools import fetch_tools
from iac_ci_worker.lock_file import LOCK_NAME, MAX_LOCK_BYTES
from iac_ci_worker.restore import fetch_files, restore_files
from iac_ci_worker.reviewed_plan import check_place, check_version, fetch_plan, put_plan
from iac_ci_worker.take import take_outputs
from iac_ci_worker.taken_outputs import TakenOutputs

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.trade import BegunOrder
    from iac_ci_common.models.work import Work
    from iac_ci_common.ports import Sealer
    from iac_ci_worker.engine_tool import EngineTool
    from iac_ci_worker.presigned import PresignedObjects
    from iac_ci_worker.rights import Rights
    from iac_ci_worker.settings import WorkerSettings
    from iac_ci_worker.workspace import Workspace

_ARCHIVE: Final = "exec.zip"
_TAKE_ATTEMPTS: Final = 3

ROLE_SESSION: Final = timedelta(hours=1)
"""How long the session of a role that another role assumes lasts (AWS IAM User Guide, "Role chaining")."""


@dataclass(frozen=True, slots=True)
class Package:
    """An order that is ready to run."""

    manifest: Manifest
    secrets: dict[str, str] = field(repr=False)
    folder: Path
    taken: TakenOutputs
    role: RoleCredentials | None = field(default=None, repr=False)
    tool: EngineTool | None = None
    """The engine's copy of the tool whose saved plan is read or applied, None if there is none."""
    committed_lock: bytes | None = None
    """The lock file of providers that the code has in ``folder``, for an order that saves a plan."""
    reviewed: tuple[Path, ...] = ()
    """The files of the saved plan that the order applies, in ``folder``."""

    @property
    def secret_variables(self) -> dict[str, str]:
        """Return all variables whose values are secret, those of the role included."""
        return self.secrets | (self.role.variables if self.role is not None else {})


def fetch_early(work: Work, workspace: Workspace, objects: PresignedObjects) -> None:
    """Fetch an order's package with its first URL, before it is known whether the order is this worker's.

    It is neither unpacked nor unsealed. If it cannot be fetched, there is no file, and ``open_package`` fetches it.
    Raises a failure that this would not change.
    """
    archive = workspace.engine / _ARCHIVE
    try:
        objects.fetch(work.urls.package, archive)
    except Exception as error:
        archive.unlink(missing_ok=True)
        if isinstance(error, IacCiError) and not error.retry_is_safe and not isinstance(error, UrlExpired):
            raise


def open_package(
    work: Work,
    rights: Rights,
    workspace: Workspace,
    objects: PresignedObjects,
    sealer: Sealer,
    now: datetime,
    settings: WorkerSettings,
) -> Package:
    """Fetch and unpack an order's package and code; the unsealed secrets stay in memory. ``now`` is the present time.

    A package that ``fetch_early`` has fetched is not fetched again.

    Neither is unpacked unless it has the digest of the order's row, which who may write the bucket cannot change.
    Raises ``PackageUnsafe``, ``PlanStale``, ``SealingFailed``, ``NotFound``, ``TradeRefused`` or ``PortFailed``.
    """
    archive = workspace.engine / _ARCHIVE
    if not archive.exists():
        rights.use(lambda urls: urls.package, lambda url: objects.fetch(url, archive))
    _check_digest(archive, work.package_sha256, "the package")
    folder = workspace.engine / "package"
    folder.mkdir(mode=0o700)
    unpack(archive, folder)
    manifest = _manifest(work, folder)
    begun = _begun(manifest, rights)
    secrets = _secrets(manifest, folder, begun, sealer)
    taken = _taken(manifest, begun, rights, objects, workspace)
    if work.urls.code is not None:
        code = workspace.engine / "code.zip"
        rights.use(lambda urls: urls.code, lambda url: objects.fetch(url, code))
        _check_digest(code, work.code_sha256, "the code")
        unpack(code, workspace.code)
        code.unlink()
    fetch_tools(manifest, rights, objects, workspace)
    folder = _folder(manifest, workspace.code)
    committed_lock = _committed_lock(folder, workspace.code) if manifest.plan is not None else None
    restore_files(manifest, taken.files, folder)
    return Package(
        manifest,
        secrets,
        folder,
        taken.outputs,
        _role(manifest, begun, now),
        _tool(manifest, workspace, settings),
        committed_lock,
        _reviewed(manifest, taken.plan, folder, workspace, settings),
    )


def _check_digest(archive: Path, expected: str | None, name: str) -> None:
    """Raise ``PackageUnsafe`` if an archive has another digest; None, of a version before, is not checked."""
    if expected is None:
        return
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise PackageUnsafe(
            f"{name} is not the one that was prepared for the run: its SHA-256 is {found}, not {expected}; find out "
            "who wrote it, and start the run again"
        )


def _manifest(work: Work, folder: Path) -> Manifest:
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST_NAME).read_bytes())
    except (OSError, ValidationError) as error:
        raise PackageUnsafe(f"the package has no valid {MANIFEST_NAME}") from error
    if (manifest.run_id, manifest.order_num) != (work.run_id, work.order_num):
        raise PackageUnsafe("the package belongs to another order")
    return manifest


def _begun(manifest: Manifest, rights: Rights) -> BegunOrder | None:
    """Return what the order begins with; None if it needs nothing, or if a version before tickets started it."""
    if not rights.can_trade or not (manifest.sealed or manifest.assumes_role or manifest.is_taker):
        return None
    return rights.begin()


class _Taken(NamedTuple):
    """What was taken of other orders: outputs, unpacked files by the order's number, the unpacked saved plan."""

    outputs: TakenOutputs
    files: dict[str, Path]
    plan: Path | None


def _taken(
    manifest: Manifest, begun: BegunOrder | None, rights: Rights, objects: PresignedObjects, workspace: Workspace
) -> _Taken:
    """Take what the order takes of others; begin again if the session that signed the URLs has ended."""
    for _ in range(_TAKE_ATTEMPTS):
        if begun is None:
            break
        try:
            outputs = take_outputs(manifest, begun, objects)
            files = fetch_files(manifest, begun, objects, workspace.engine)
            return _Taken(outputs, files, fetch_plan(manifest, begun, objects, workspace.engine))
        except UrlExpired:
            begun = rights.begin()
    if manifest.is_taker:
        raise PackageUnsafe("what other orders handed on could not be fetched")
    return _Taken(TakenOutputs(), {}, None)


def _tool(manifest: Manifest, workspace: Workspace, settings: WorkerSettings) -> EngineTool | None:
    """Return the tool that is to read the plan which the commands save, as it is before the first of them."""
    return engine_tool(manifest.plan.tool, workspace, settings.command_path) if manifest.plan is not None else None


def _reviewed(
    manifest: Manifest, files: Path | None, folder: Path, workspace: Workspace, settings: WorkerSettings
) -> tuple[Path, ...]:
    """Put the saved plan that the order applies into its folder, and return its files; raise if it is stale."""
    wanted = manifest.saved_plan
    if wanted is None or files is None:
        return ()
    check_place(wanted, str(folder) if settings.order_folder else None)
    tool = needed_tool(wanted.planned.tool, workspace, settings.command_path)
    check_version(wanted, tool.version(workspace))
    return put_plan(wanted, files, folder)


def _committed_lock(folder: Path, code: Path) -> bytes | None:
    """Return the lock file that the code has in a folder, None if it has none."""
    path = Path(os.path.realpath(folder / LOCK_NAME))
    if not path.is_relative_to(code.resolve()) or not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(MAX_LOCK_BYTES + 1)


def _secrets(manifest: Manifest, folder: Path, begun: BegunOrder | None, sealer: Sealer) -> dict[str, str]:
    """Return the order's secrets by their variables."""
    if begun is None:
        return _secrets_without_ticket(manifest, folder, sealer) if manifest.sealed else {}
    values = begun.secrets
    if values is None and manifest.sealed:
        sealed = _sealed(folder, manifest.sealed_name)
        values = sealer.unseal(sealed, run_id=manifest.run_id, age_identity=begun.identity)
    return values or {}


def _role(manifest: Manifest, begun: BegunOrder | None, now: datetime) -> RoleCredentials | None:
    """Return the credentials of the order's role; those of a broker of a version before last for an hour."""
    if begun is None or not manifest.assumes_role:
        return None
    if begun.credentials is None:
        raise PackageUnsafe("the broker gave no credentials of the order's role")
    return RoleCredentials.from_variables(begun.credentials, begun.credentials_end or now + ROLE_SESSION)


def _secrets_without_ticket(manifest: Manifest, folder: Path, sealer: Sealer) -> dict[str, str]:
    """Return the secrets of an order that a version before tickets started: only this worker's role may unseal them."""
    identity = None
    if manifest.sealed_with_age:
        unsealed = sealer.unseal(_sealed(folder, IDENTITY_NAME), run_id=manifest.run_id)
        identity = unsealed.get(IDENTITY_FIELD)
    return sealer.unseal(_sealed(folder, SEALED_NAME), run_id=manifest.run_id, age_identity=identity)


def _sealed(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise PackageUnsafe("the sealed secrets are missing from the package") from error


def _folder(manifest: Manifest, code: Path) -> Path:
    if manifest.folder is None:
        return code
    folder = Path(os.path.realpath(code / PurePosixPath(manifest.folder)))
    if not folder.is_relative_to(code.resolve()) or not folder.is_dir():
        raise PackageUnsafe(f"the code has no folder {manifest.folder!r:.200}; correct git_folder")
    return folder
