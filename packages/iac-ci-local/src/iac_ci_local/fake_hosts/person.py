"""A person on the code host."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the host; ``login`` may change, ``id`` never does."""

    id: int
    login: str


__all__ = ["Person"]
