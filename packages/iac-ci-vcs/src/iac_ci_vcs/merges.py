"""Merges of a commit into a commit of its base branch: what is wanted, and what was found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Merge:
    """A merge to check out in place of a commit.

    ``into`` is the commit of the base, in ``repository`` if that is not the commit's own. ``host_commit`` is a merge
    that the code host has made: it is used if its parents are these two commits, which it tells by its hash.
    """

    into: str
    repository: str | None = None
    host_commit: str | None = None


@dataclass(frozen=True, slots=True)
class Merged:
    """A merge that was checked out: its commit, and why it was made here; empty if the code host made it."""

    commit: str
    why_here: str = ""


__all__ = ["Merge", "Merged"]
