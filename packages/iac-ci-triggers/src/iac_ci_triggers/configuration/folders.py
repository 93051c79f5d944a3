"""Finds the orders whose folders a pull request deletes: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_triggers.configuration.expansion import copies, folder_of
from iac_ci_vcs.provider import ChangeKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iac_ci_triggers.configuration.models import Configuration
    from iac_ci_vcs.provider import ChangedFile


def folders_of(configuration: Configuration) -> frozenset[str]:
    """Return the folders of all orders, without the repository's root."""
    found = {folder_of(copy) for job in configuration.jobs.values() for copy in copies(job)}
    return frozenset(folder for folder in found if folder is not None)


def possibly_deleted(folders: Iterable[str], files: Iterable[ChangedFile]) -> frozenset[str]:
    """Return the folders from which files are removed and into which none is written.

    Files that the pull request does not change may still be there: ask the host.
    """
    removed: set[str] = set()
    written: set[str] = set()
    for file in files:
        (removed if file.kind is ChangeKind.REMOVED else written).add(file.path)
        if file.kind is ChangeKind.RENAMED and file.previous_path is not None:
            removed.add(file.previous_path)
    emptied = _parents(removed)
    kept = _parents(written)
    return frozenset(folder for folder in folders if folder in emptied and folder not in kept)


def _parents(paths: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        parts = path.split("/")[:-1]
        found.update("/".join(parts[: index + 1]) for index in range(len(parts)))
    return found
