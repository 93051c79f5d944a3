"""Puts a saved plan into the folder of the order that applies it, if it is the plan that was reviewed."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from iac_ci_common.errors import PackageUnsafe, PlanStale
from iac_ci_common.packing import unpack
from iac_ci_common.project_states import plan_again
from iac_ci_worker.lock_file import LOCK_NAME
from iac_ci_worker.plan_bytes import is_below
from iac_ci_worker.restore import write_file
from iac_ci_worker.sealed_objects import fetch, private_folder, sha256_of

if TYPE_CHECKING:
    from iac_ci_common.models.manifest import Manifest, ManifestSavedPlan
    from iac_ci_common.models.trade import BegunOrder
    from iac_ci_worker.presigned import PresignedObjects


def fetch_plan(manifest: Manifest, begun: BegunOrder, objects: PresignedObjects, folder: Path) -> Path | None:
    """Fetch and unpack the saved plan into a private folder below ``folder``; return None if the order applies none.

    Raises ``PackageUnsafe``, and ``UrlExpired``: then call this again.
    """
    if manifest.saved_plan is None:
        return None
    if begun.saved_plan is None:
        raise PackageUnsafe("the broker gave no saved plan; it is of a version before, so apply again in some minutes")
    files = Path(tempfile.mkdtemp(dir=folder))
    with private_folder("plan") as private:
        name = f"the files of {manifest.saved_plan.order_name}"
        fetch(begun.saved_plan, objects, private / "sealed", private / "plain", name)
        unpack(private / "plain", files)
    return files


def put_plan(wanted: ManifestSavedPlan, files: Path, folder: Path) -> tuple[Path, ...]:
    """Put the plan and its lock file into ``folder``, in place of what came with the code; return their paths.

    Nothing is written through a link. Raises ``PlanStale`` for bytes that are not those of the plan that was reviewed,
    and ``PackageUnsafe`` if a folder is in the way.
    """
    planned = wanted.planned
    if not is_below(wanted.file):
        raise PackageUnsafe(f"{wanted.file!r:.200} is not a file below the folder of the commands")
    if planned.problem is not None:
        raise _stale(wanted, f"it cannot be applied: {planned.problem:.300}")
    if _digest(files / wanted.file) != planned.sha256:
        raise _stale(wanted, f"{wanted.file:.200} is not the plan that was reviewed: its SHA-256 is another one")
    names = [wanted.file]
    if planned.lock_sha256 is not None:
        if _digest(files / LOCK_NAME) != planned.lock_sha256:
            raise _stale(wanted, f"{LOCK_NAME} is not the one that it was made with: its SHA-256 is another one")
        names.append(LOCK_NAME)
    elif (folder / LOCK_NAME).exists():
        raise _stale(wanted, f"it was made without {LOCK_NAME}, and the code has one now")
    for name in names:
        (files / name).chmod(0o444)
        if problem := write_file(files / name, folder, PurePosixPath(name), overwrite=True):
            raise PackageUnsafe(f"{name!r:.200} {problem}")
    return tuple(folder / name for name in names)


def check_place(wanted: ManifestSavedPlan, folder: str | None) -> None:
    """Raise ``PlanStale`` if the commands run in another folder than those that planned.

    ``folder`` is None where each order has a folder of its own. Plans may hold absolute paths.
    """
    planned = wanted.planned.path
    if planned is not None and planned != folder:
        raise _stale(
            wanted, f"it was made in {planned:.300}, and the commands would run in {folder or 'another folder':.300}"
        )


def check_version(wanted: ManifestSavedPlan, version: str) -> None:
    """Raise ``PlanStale`` if the tool has another version than the one that planned: it could not read the plan."""
    planned = wanted.planned
    if planned.tool_version is not None and planned.tool_version != version:
        raise _stale(wanted, f"{planned.tool} {planned.tool_version:.40} made it, and the order has {version:.40}")


def _stale(wanted: ManifestSavedPlan, why: str) -> PlanStale:
    """Return the error for a plan that is not applied."""
    return PlanStale(f"the plan is stale: {why}; {plan_again(wanted.planner)}")


def _digest(path: Path) -> str | None:
    """Return the SHA-256 of a file, None if there is none; a link counts as none."""
    return sha256_of(path) if path.is_file() and not path.is_symlink() else None


__all__ = ["check_place", "check_version", "fetch_plan", "put_plan"]
