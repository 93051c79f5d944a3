"""Reads the packages of a checkout: versions, bounds of siblings, and the fragments of their changelogs."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packaging.requirements import Requirement

from releases.versions import Kind

if TYPE_CHECKING:
    from pathlib import Path

FOLDER: Final = "changes"
"""Folder of a package's fragments."""

_NAME: Final = re.compile(rf"[a-z0-9-]+\.(?P<kind>{'|'.join(Kind)})\.md")


@dataclass(frozen=True, slots=True)
class Fragment:
    """One change of a package: a small file that is named ``<any words>.<kind>.md``."""

    path: Path
    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Package:
    """A package: ``siblings`` are the bounds of the other packages of the workspace that it needs."""

    name: str
    folder: Path
    version: str
    siblings: dict[str, str]
    fragments: tuple[Fragment, ...]
    problems: tuple[str, ...]

    @property
    def kind(self) -> Kind | None:
        """Return what its next release is because of its own fragments; None if it needs none."""
        kinds = {fragment.kind for fragment in self.fragments} - {Kind.INTERNAL}
        return next((kind for kind in Kind if kind in kinds), None)


def packages(root: Path) -> dict[str, Package]:
    """Return the packages of a checkout by name."""
    found = (_package(path.parent) for path in sorted(root.glob("packages/*/pyproject.toml")))
    return {package.name: package for package in found}


def _package(folder: Path) -> Package:
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project.get("optional-dependencies", {})
    needs = [
        Requirement(need) for need in [*project["dependencies"], *(need for extra in extras.values() for need in extra)]
    ]
    fragments, problems = _fragments(folder)
    return Package(
        project["name"],
        folder,
        project["version"],
        {
            need.name: str(need.specifier)
            for need in needs
            if need.name.startswith("iac-ci-") and need.name != project["name"]
        },
        fragments,
        problems,
    )


def _fragments(folder: Path) -> tuple[tuple[Fragment, ...], tuple[str, ...]]:
    fragments, problems = [], []
    for path in sorted((folder / FOLDER).glob("*")):
        match = _NAME.fullmatch(path.name)
        try:
            text = path.read_text("utf-8").strip()
        except (OSError, ValueError):
            problems.append(f"{path.name}: is not a file of text in UTF-8")
            continue
        if match is None:
            problems.append(f"{path.name}: a fragment is named <words>.<kind>.md, with a kind of {', '.join(Kind)}")
        elif not text or text.startswith(("-", "#")):
            problems.append(f"{path.name}: write what changed in sentences, without a heading or a bullet")
        else:
            fragments.append(Fragment(path, Kind(match["kind"]), text))
    return tuple(fragments), tuple(problems)
