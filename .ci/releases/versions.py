"""Versions and the bounds of siblings; pure."""

from __future__ import annotations

from enum import StrEnum

from packaging.specifiers import SpecifierSet
from packaging.version import Version


class Kind(StrEnum):
    """What a change means for the users of a package, the most important first."""

    BREAKING = "breaking"
    ADDED = "added"
    FIXED = "fixed"
    INTERNAL = "internal"
    """Nothing that users notice: it is in no changelog and causes no release."""


def next_version(version: str, kind: Kind) -> str:
    """Return the version after a change: of 0.x a breaking one raises x, and every other one the last number."""
    before = Version(version)
    major, minor, micro = before.major, before.minor, before.micro
    if kind is Kind.BREAKING:
        return f"{major + 1}.0.0" if major else f"0.{minor + 1}.0"
    if kind is Kind.ADDED and major:
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{micro + 1}"


def bounds(version: str) -> str:
    """Return the bounds of a sibling that was tested with this version: up to its next breaking one."""
    end = Version(next_version(version, Kind.BREAKING))
    lowest = version.removesuffix(".0")
    return f">={lowest},<{end.major}" if end.major else f">={lowest},<0.{end.minor}"


def allows(specifier: str, version: str) -> bool:
    """Return whether bounds admit a version."""
    return Version(version) in SpecifierSet(specifier)
