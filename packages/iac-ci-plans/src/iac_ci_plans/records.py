"""Reads the JSON of the tools: records of ``-json``, documents of ``show -json``, lines of Terragrunt's log. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, NamedTuple

from iac_ci_plans.steps import Counts, from_tally

ACTIONS: Final = {
    "create": "create",
    "read": "read",
    "update": "update",
    "replace": "replace",
    "delete": "delete",
    "remove": "forget",
    "forget": "forget",
    "move": "move",
    "import": "bring_in",
}
"""Actions of ``planned_change`` records (Terraform, `internal/command/views/json/change.go`)."""

SUMMARY_NAMES: Final = {
    "add": "add",
    "change": "change",
    "remove": "destroy",
    "import": "bring_in",
    "forget": "forget",
    "action_invocation": "actions",
}
DONE_AS: Final = {"create": "add", "update": "change", "delete": "destroy"}
_LINES_OF_TERRAGRUNT: Final = frozenset({"workingDir", "working-dir", "tf-path", "executedCommandArgs"})


class Planned(NamedTuple):
    """One resource of a document: its address, what happens, and the attributes that differ."""

    address: str
    action: str
    attributes: tuple[str, ...] = ()


class Document(NamedTuple):
    """What a document says."""

    counts: Counts
    resources: list[Planned]


def terragrunt_line(record: dict[str, Any]) -> tuple[str, str] | None:
    """Return unit and text of a line of Terragrunt's JSON log, None if the record is none."""
    text = record.get("msg")
    if not isinstance(text, str) or not _LINES_OF_TERRAGRUNT & record.keys():
        return None
    unit = record.get("prefix") or record.get("working-dir") or record.get("workingDir") or ""
    return str(unit), text


def address_of(record: Any) -> str:
    """Return the address in a record's ``resource``."""
    resource = record.get("resource") if isinstance(record, dict) else None
    return str(resource.get("addr", "")) if isinstance(resource, dict) else ""


def changed_outputs(outputs: Any) -> list[str]:
    """Return the names of outputs that change, of the ``outputs`` of a record."""
    if not isinstance(outputs, dict):
        return []
    return [
        str(name)
        for name, output in outputs.items()
        if isinstance(output, dict) and str(output.get("action") or "noop") != "noop"
    ]


def is_document(record: dict[str, Any]) -> bool:
    """Return whether a record is the document of a plan; that of a state has no planned values."""
    return isinstance(record.get("resource_changes"), list) or (
        "format_version" in record and "planned_values" in record
    )


class DocumentTally:
    """Counts the entries of a plan's document, one at a time (Terraform, "JSON Output Format")."""

    def __init__(self) -> None:
        """Start with a document without entries."""
        self._tally: Counter[str] = Counter()
        self._outputs = self._actions = self._deferred = self._drift = 0
        self._changed: set[int] = set()
        self._drifted: set[int] = set()

    def resource(self, entry: dict[str, Any]) -> str | None:
        """Count an entry of ``resource_changes``; return what happens to the resource, None if nothing does."""
        change = entry.get("change")
        actions = change.get("actions") if isinstance(change, dict) else None
        if not isinstance(change, dict) or not isinstance(actions, list):
            return None
        action = _action([one for one in actions if isinstance(one, str)])
        if action == "delete" and entry.get("mode") == "data":
            return None
        previous = entry.get("previous_address")
        has_moved = isinstance(previous, str) and previous != str(entry.get("address", ""))
        is_imported = bool(change.get("importing"))
        self._tally["move"] += has_moved
        self._tally["bring_in"] += is_imported
        if action is not None:
            self._tally[action] += 1
            self._changed.add(_mark(entry))
        shown = action or ("move" if has_moved else "bring_in" if is_imported else None)
        return shown.partition(" ")[0] if shown is not None else None

    def output(self, entry: Any) -> None:
        """Count an entry of ``output_changes``."""
        self._outputs += _changes(entry)

    def invocation(self, _: dict[str, Any]) -> None:
        """Count an entry of ``action_invocations``."""
        self._actions += 1

    def postponed(self, _: dict[str, Any]) -> None:
        """Count an entry of ``deferred_changes``."""
        self._deferred += 1

    def drift(self, entry: dict[str, Any]) -> None:
        """Count an entry of ``resource_drift``."""
        if _changes(entry.get("change")):
            self._drift += 1
            self._drifted.add(_mark(entry))

    def counts(self, *, is_applyable: bool) -> Counts:
        """Return the counts. Drift counts in a refresh-only plan, which holds nothing else and may be applied."""
        counts = from_tally(self._tally) | {
            "outputs": self._outputs,
            "actions": self._actions,
            "deferred": self._deferred,
        }
        if not any(counts.values()):
            # Other plans may be applied all the same.
            counts["drift"] = self._drift * is_applyable
        # What Terraform plans for a resource that was changed outside takes that change back, at least in part.
        return counts | {"outside": len(self._changed & self._drifted)}


def read_document(document: dict[str, Any]) -> Document:
    """Return the counts and resources of a plan's document."""
    tally = DocumentTally()
    resources: list[Planned] = []
    for entry in _dicts(document.get("resource_changes")):
        action = tally.resource(entry)
        if action is not None:
            resources.append(Planned(str(entry.get("address", "")), action, _differing(entry["change"])))
    outputs = document.get("output_changes")
    for output in outputs.values() if isinstance(outputs, dict) else ():
        tally.output(output)
    for name, count in (
        ("action_invocations", tally.invocation),
        ("deferred_changes", tally.postponed),
        ("resource_drift", tally.drift),
    ):
        for entry in _dicts(document.get(name)):
            count(entry)
    return Document(tally.counts(is_applyable=bool(document.get("applyable"))), resources)


def _mark(entry: dict[str, Any]) -> int:
    """Return a number for the resource of an entry, also of a deposed object, that takes less memory than its name."""
    return hash((str(entry.get("address", "")), str(entry.get("deposed", ""))))


def _action(actions: list[str]) -> str | None:
    kinds = set(actions)
    if {"create", "delete"} <= kinds:
        return "replace"
    if {"create", "forget"} <= kinds:
        return "replace and forget"
    return next((kind for kind in ("create", "update", "delete", "forget", "read") if kind in kinds), None)


def _changes(entry: Any) -> bool:
    actions = entry.get("actions") if isinstance(entry, dict) else None
    return isinstance(actions, list) and bool(actions) and actions != ["no-op"]


def _differing(change: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of attributes that differ. Values are left out: a document holds sensitive ones in clear."""
    before, after, unknown = (change.get(name) for name in ("before", "after", "after_unknown"))
    if not isinstance(before, dict) or not isinstance(after, dict):
        return ()
    names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    names |= {name for name, value in unknown.items() if value} if isinstance(unknown, dict) else set()
    return tuple(sorted(map(str, names)))


def _dicts(entries: Any) -> list[dict[str, Any]]:
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
