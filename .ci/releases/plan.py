"""Decides which packages are released, under which versions and with which changelog entries; pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from releases.versions import Kind, allows, bounds, next_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from releases.package import Package


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the changelog."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Release:
    """A package that is released; ``after`` is its present version if it was never released."""

    package: Package
    after: str
    entries: tuple[Entry, ...]
    siblings: dict[str, str]

    @property
    def tag(self) -> str:
        """Return the name of its tag in git."""
        return tag(self.package.name, self.after)

    @property
    def summary(self) -> str:
        """Return the versions and how many changes of each kind there are."""
        kinds = Counter(entry.kind for entry in self.entries)
        counts = ", ".join(f"{kinds[kind]} {kind}" for kind in Kind if kinds[kind]) or "no fragment"
        versions = f"{self.package.version} → {self.after}" if self.bumped else f"{self.after}, its first release"
        return f"{self.package.name} {versions} ({counts})"

    @property
    def bumped(self) -> bool:
        """Return whether the version changes."""
        return self.after != self.package.version


def tag(name: str, version: str) -> str:
    """Return the name of a release's tag in git."""
    return f"{name}-v{version}"


def plan(packages: Mapping[str, Package], released: Set[str]) -> list[Release]:
    """Return the releases: of packages with changes, of those that need new bounds for them, and first ones.

    ``released`` are the packages that have a tag. The others keep their version: it was never released.
    """
    kinds = {name: packages[name].kind for name in sorted(released)}
    after = {name: next_version(packages[name].version, kind) for name, kind in kinds.items() if kind is not None}
    needs: dict[str, list[str]] = {}
    pending = sorted(after)
    while pending:
        changed = pending.pop(0)
        for name, package in packages.items():
            specifier = package.siblings.get(changed)
            if specifier is None or allows(specifier, after[changed]):
                continue
            needs.setdefault(name, []).append(changed)
            if name not in after and name in released:
                after[name] = next_version(package.version, Kind.FIXED)
                pending.append(name)
    versions = {name: after.get(name, package.version) for name, package in packages.items()}
    return [
        Release(
            package,
            versions[name],
            _entries(package, {sibling: versions[sibling] for sibling in needs.get(name, ())}),
            {sibling: bounds(versions[sibling]) for sibling in package.siblings}
            if name in after or name in needs
            else package.siblings,
        )
        for name, package in packages.items()
        if name in after or name not in released
    ]


def _entries(package: Package, needs: Mapping[str, str]) -> tuple[Entry, ...]:
    own = [Entry(one.kind, one.text) for one in package.fragments if one.kind is not Kind.INTERNAL]
    bound = [Entry(Kind.FIXED, f"Needs {name} {version} or newer.") for name, version in sorted(needs.items())]
    return tuple(sorted([*own, *bound], key=lambda entry: list(Kind).index(entry.kind)))
