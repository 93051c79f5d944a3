"""Reads the git history of a checkout: tags of packages and the files that changed since a commit."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from packaging.version import Version

if TYPE_CHECKING:
    from pathlib import Path


def git(root: Path, *arguments: str) -> str:
    """Return what git prints; raise ``CalledProcessError`` if it fails."""
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


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
