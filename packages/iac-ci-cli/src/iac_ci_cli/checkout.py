"""Reads a checkout as the engine reads a commit: its paths, the files that can matter, and what has changed in it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_cli.code import environment_of_git, files_and_submodules_of
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_common.errors import PackageUnsafe
from iac_ci_common.tree import Entry, EntryKind, Tree
from iac_ci_projects import MAX_FILE_BYTES, TooManyProjects, files_to_read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_GIT_SECONDS: Final = 60
_FETCH: Final = "Is it fetched? Clones in CI often have a single commit; `git fetch --unshallow` fetches the others."


@dataclass(frozen=True, slots=True)
class Changes:
    """The paths that differ from another commit, with old and new names of moved files, and those that are gone."""

    changed: tuple[str, ...]
    removed: tuple[str, ...]


def tree_of(folder: Path) -> Tree:
    """Return the files of a folder as a tree, without what git ignores; raise ``CommandFailed`` if it is unreadable."""
    if not folder.is_dir():
        raise CommandFailed(f"{folder} is not a folder", exit_code=ExitCode.BAD_INPUT)
    try:
        names, submodules = files_and_submodules_of(folder)
        entries = {name: _entry(folder / name) for name in names}
        entries |= {name: Entry(EntryKind.SUBMODULE) for name in submodules}
        chosen = files_to_read(entries)
        return Tree(entries, {name: _content(folder / name) for name in chosen})
    except (OSError, PackageUnsafe, TooManyProjects) as error:
        reason = error.strerror if isinstance(error, OSError) and error.filename is None else error
        raise CommandFailed(f"{folder} cannot be read: {reason}", exit_code=ExitCode.BAD_INPUT) from error


def prefix_of(folder: Path) -> str:
    """Return where a folder is in its repository; empty for the repository's root and outside of one."""
    try:
        printed = _git(folder, "rev-parse", "--show-prefix")
    except CommandFailed:
        return ""
    return os.fsdecode(printed).rstrip("\n").rstrip("/")


def file_at(folder: Path, name: str, commit: str) -> bytes | None:
    """Return a file of a folder at a commit, None if there is none."""
    shown = _git(folder, "ls-tree", "-z", commit, "--", f"./{name}")
    return _git(folder, "cat-file", "blob", f"{commit}:./{name}") if shown else None


def commit_of(folder: Path, reference: str) -> str:
    """Return the commit that a branch, tag or hash names; raise ``CommandFailed`` if there is none."""
    try:
        found = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}")
    except CommandFailed as error:
        message = f"{reference!a} is no commit of the repository of {folder}"
        raise CommandFailed(message, exit_code=ExitCode.BAD_INPUT, hint=_FETCH) from error
    return found.decode("ascii").strip()


def changes_since(folder: Path, commit: str) -> Changes:
    """Return what has changed since the folder's branch and a commit parted, with what is not committed yet."""
    try:
        parted = _git(folder, "merge-base", commit, "HEAD").decode("ascii").strip()
    except CommandFailed as error:
        message = f"{folder}: HEAD and {commit[:12]} have no commit in common"
        raise CommandFailed(message, exit_code=ExitCode.BAD_INPUT, hint=_FETCH) from error
    printed = _git(folder, "diff", "--name-status", "-z", "--find-renames", "--relative", parted)
    new = _names(_git(folder, "ls-files", "-z", "--others", "--exclude-standard"))
    changed, removed = list(new), []
    fields = iter(_names(printed))
    for status in fields:
        path = next(fields)
        changed.append(path)
        if status.startswith("D"):
            removed.append(path)
        elif status.startswith(("R", "C")):
            changed.append(next(fields))
            if status.startswith("R"):
                removed.append(path)
    return Changes(tuple(dict.fromkeys(changed)), tuple(removed))


def _entry(path: Path) -> Entry:
    return Entry(EntryKind.LINK) if path.is_symlink() else Entry(EntryKind.FILE, path.stat().st_size)


def _content(path: Path) -> bytes:
    if path.is_symlink():
        return os.fsencode(path.readlink())
    with path.open("rb") as opened:
        return opened.read(MAX_FILE_BYTES + 1)


def _names(printed: bytes) -> Iterator[str]:
    return (os.fsdecode(name) for name in printed.split(b"\0") if name)


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603 - a list, of our own making
            ["git", "-C", str(folder), *arguments],  # noqa: S607
            capture_output=True,
            check=False,
            timeout=_GIT_SECONDS,
            env=environment_of_git(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandFailed("git could not be run, or took too long") from error
    if done.returncode != 0:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"git {arguments[0]} failed"]
        raise CommandFailed(f"{folder}: {reason[0]}", exit_code=ExitCode.BAD_INPUT)
    return done.stdout


__all__ = ["Changes", "changes_since", "commit_of", "file_at", "prefix_of", "tree_of"]
