"""Reads the document that `show -json` prints of a saved plan, in chunks and in bounded memory: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import ijson

from iac_ci_common.models.changes import Changes, Operation
from iac_ci_plans.records import DocumentTally

if TYPE_CHECKING:
    from collections.abc import Callable

_OF_AN_ENTRY: Final = 2
"""Depth of an entry's brace: in a list or an object, which is in the document."""

_BEGINS: Final = frozenset({"start_map", "start_array"})
_ENDS: Final = frozenset({"end_map", "end_array"})


@dataclass(frozen=True, slots=True)
class ShownPlan:
    """What a saved plan says. ``has_failed`` is True if planning failed: Terraform writes the file all the same."""

    changes: Changes
    tool_version: str | None
    has_failed: bool


class ShownPlanReader:
    """Reads one document. Memory is limited by the longest entry: a resource, an output."""

    def __init__(self) -> None:
        """Start before the document's first byte."""
        self._tally = DocumentTally()
        self._entries: dict[str, Callable[[dict[str, Any]], object]] = {
            "resource_changes": self._tally.resource,
            "output_changes": self._tally.output,
            "action_invocations": self._tally.invocation,
            "deferred_changes": self._tally.postponed,
            "resource_drift": self._tally.drift,
        }
        self._depth = 0
        self._name = ""
        self._values: dict[str, Any] = {}
        self._is_plan = False
        self._builder: Any = None
        self._parser = ijson.basic_parse_coro(self)

    def feed(self, chunk: bytes) -> None:
        """Read the next chunk; raise ``ValueError`` if it is no JSON."""
        try:
            self._parser.send(chunk)
        except ijson.JSONError as error:
            raise ValueError("the document is not JSON") from error

    def result(self) -> ShownPlan:
        """Return what was read; raise ``ValueError`` for a document that has no end or is not that of a plan."""
        try:
            self._parser.close()
        except ijson.JSONError as error:
            raise ValueError("the document is not whole") from error
        if not self._is_plan or self._depth:
            raise ValueError("the document is not that of a plan")
        counts = self._tally.counts(is_applyable=self._values.get("applyable") is True)
        version = self._values.get("terraform_version")
        return ShownPlan(
            changes=Changes(operation=Operation.PLANNED, **counts),
            tool_version=version if isinstance(version, str) else None,
            has_failed=self._values.get("errored") is True,
        )

    def send(self, event: tuple[str, Any]) -> None:
        """Take an event of the parser."""
        kind, value = event
        if kind in _ENDS:
            self._depth -= 1
        if self._builder is not None:
            self._builder.event(kind, value)
            if kind == "end_map" and self._depth == _OF_AN_ENTRY:
                self._entries[self._name](self._builder.value)
                self._builder = None
        elif self._depth == 1:
            self._member(kind, value)
        elif kind == "start_map" and self._depth == _OF_AN_ENTRY and self._name in self._entries:
            self._builder = ijson.ObjectBuilder()
            self._builder.event(kind, value)
        if kind in _BEGINS:
            self._depth += 1

    def _member(self, kind: str, value: Any) -> None:
        """Take the name or the value of one of the document's own members."""
        if kind == "map_key":
            self._name = value
        elif kind == "start_map":
            # The document of a state has `values` in its place.
            self._is_plan = self._is_plan or self._name == "planned_values"
        elif kind not in _BEGINS | _ENDS:
            self._values[self._name] = value
