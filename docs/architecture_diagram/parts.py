"""What the five parts of the diagram hold: overview, init, orchestration, resources and pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from docs.architecture_diagram.box import Box
    from docs.architecture_diagram.departures import Departure

KINDS: Final = {
    "external": "Outside",
    "ingress": "Ingress",
    "storage": "Storage",
    "orchestration": "Orchestration",
    "execution": "Execution",
    "foundation": "Infrastructure",
    "pipeline": "Pipeline",
}
"""Kinds of boxes with the names that the legend shows, in the order of the resources."""


@dataclass(frozen=True, slots=True)
class Message:
    """A step of a sequence, from one lane to another or within one. ``phase`` begins a new section of the sequence."""

    start: str
    end: str
    text: str
    note: str = ""
    source: str = ""
    departures: tuple[str, ...] = ()
    phase: str = ""
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Sequence:
    """A part that shows who calls whom, in order."""

    name: str
    title: str
    introduction: str
    lanes: tuple[Box, ...]
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """A part that shows boxes one after another; ``arrows`` stand between them."""

    name: str
    title: str
    introduction: str
    boxes: tuple[Box, ...]
    arrows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Map:
    """A part that shows all resources, in groups by kind."""

    name: str
    title: str
    introduction: str
    groups: tuple[tuple[str, tuple[Box, ...]], ...]


@dataclass(frozen=True, slots=True)
class Diagram:
    """Everything that both pages show. ``facts`` are the key properties: a figure, what it means, and its source."""

    overview: Flow
    init: Sequence
    orchestration: Sequence
    resources: Map
    pipeline: Flow
    departures: tuple[Departure, ...]
    facts: tuple[tuple[str, str, str], ...]

    def number(self, name: str) -> int:
        """Return the number of a departure, counted from 1; raise ``KeyError`` if there is none of that name."""
        return {departure.name: index for index, departure in enumerate(self.departures, 1)}[name]
