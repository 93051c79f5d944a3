"""Checks that changed packages have a fragment, and that the bounds between siblings hold."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from releases.history import changed, git, last_tag
from releases.package import FOLDER
from releases.versions import allows, bounds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from releases.package import Package


def problems(root: Path, packages: Mapping[str, Package], base: str | None) -> Iterator[str]:
    """Return every problem; a package is compared with ``base``, or with its last release."""
    for name, package in packages.items():
        for problem in package.problems:
            yield f"{name}: {problem}"
        for sibling, specifier in package.siblings.items():
            version = packages[sibling].version
            if not allows(specifier, version):
                yield f"{name}: needs {sibling}{specifier}, which the {sibling} of this checkout, {version}, is not"
            elif specifier.count("<") != 1 or not specifier.count(">="):
                yield f"{name}: needs {sibling}{specifier} without both ends, such as {bounds(version)}"
        since = base or last_tag(root, name)
        if since is not None and not _described(root, package, since):
            yield (
                f"{name}: changed since {since} without a fragment: write what its users notice into "
                f"packages/{name}/{FOLDER}/<words>.<breaking, added, fixed or internal>.md"
            )


def _described(root: Path, package: Package, since: str) -> bool:
    folder = f"packages/{package.name}"
    files = changed(root, since)
    if f"{folder}/pyproject.toml" not in files and not any(path.startswith(f"{folder}/src/") for path in files):
        return True
    fragments = {f"{folder}/{FOLDER}/{fragment.path.name}" for fragment in package.fragments}
    return bool(fragments & files) or _released(root, package, since)


def _released(root: Path, package: Package, since: str) -> bool:
    """Return whether the package has another version than at the commit, so that a release took its fragments."""
    path = f"packages/{package.name}/pyproject.toml"
    fork = git(root, "merge-base", since, "HEAD").strip()
    if not git(root, "ls-tree", "--name-only", fork, path):
        return False
    return bool(tomllib.loads(git(root, "show", f"{fork}:{path}"))["project"]["version"] != package.version)
