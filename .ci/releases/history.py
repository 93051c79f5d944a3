"""Reads the git history of a checkout: tags of packages and the files that changed since a commit."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from packaging.version import Version

if TYPE_CHECKING:
    from pathlib import Path


class HistoryUnreadable(Exception):
    """Git cannot read the history: without a repository, a commit, or one in common with the base."""


def git(root: Path, *arguments: str) -> str:
    """Return what git prints; raise ``HistoryUnreadable`` if it fails."""
    done = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, errors="surrogateescape", check=False
    )
    if done.returncode:
        reason = done.stderr.strip().partition("\n")[0] or f"it ended with exit code {done.returncode}"
        raise HistoryUnreadable(f"git {' '.join(arguments)}: {reason}")
    return done.stdout


def last_tag(root: Path, name: str) -> str | None:
    """Return the tag of a package's newest release that the present commit contains; None if there is none."""
    tags = git(root, "tag", "--merged", "HEAD", "--list", f"{name}-v*").split()
    versions = {tag: match[1] for tag in tags if (match := re.fullmatch(rf"{name}-v([\d.]+)", tag))}
    return max(versions, key=lambda tag: Version(versions[tag]), default=None)


def changed(root: Path, base: str) -> set[str]:
    """Return the files that differ from the commit in which the present one left ``base``, new ones included."""
    fork = git(root, "merge-base", base, "HEAD").strip()
    differing = git(root, "diff", "--name-only", "--no-renames", "-z", fork).split("\0")
    untracked = git(root, "ls-files", "--others", "--exclude-standard", "-z").split("\0")
    return {path for path in (*differing, *untracked) if path}
