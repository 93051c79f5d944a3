"""Counts the changes that Terraform and OpenTofu print, line by line.

Three formats are supported: the sentences for people ("Plan: 1 to add, 0 to change, 0 to destroy."), the records of
``-json`` runs (type ``change_summary``; Terraform, "Machine-Readable UI"), and the document that ``show -json`` prints
on one line (Terraform, "JSON Output Format"). The commands' output is not trusted: lines that cannot be parsed and
lines that are too long are ignored.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Final

from iac_ci_common.models.changes import Changes, Operation

MAX_LINE_BYTES: Final = 8 * 1024 * 1024
"""Longest line that is parsed, in bytes: a plan document of a few thousand resources."""

_MAX_COUNT: Final = 1_000_000
_ESCAPE: Final = re.compile(rb"\x1b\[[0-9;]*[A-Za-z]")
_PLAN: Final = re.compile(
    rb"^Plan: (?:(?P<bring_in>\d{1,7}) to import, )?(?P<add>\d{1,7}) to add, (?P<change>\d{1,7}) to change, "
    rb"(?P<destroy>\d{1,7}) to destroy\."
)
_APPLIED: Final = re.compile(
    rb"^Apply complete! Resources: (?:(?P<bring_in>\d{1,7}) imported, )?(?P<add>\d{1,7}) added, "
    rb"(?P<change>\d{1,7}) changed, (?P<destroy>\d{1,7}) destroyed\."
)
_DESTROYED: Final = re.compile(rb"^Destroy complete! Resources: (?P<destroy>\d{1,7}) destroyed\.")
_NOTHING: Final = re.compile(rb"^(?:No changes\. |No changes, |Your infrastructure matches the configuration)")
_INTERESTING: Final = re.compile(
    rb"Plan:|Apply complete!|Destroy complete!|No changes[.,]|Your infrastructure matches|\"change_summary\"|"
    rb"\"resource_changes\""
)


@cache
def _words() -> Any:
    """Return the compiled words of which one stands in each line of interest."""
    import hyperscan

    words = (
        b"Plan:",
        b"omplete!",
        b"No changes",
        b"Your infrastructure matches",
        b'"change_summary"',
        b'"resource_changes"',
    )
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = [hyperscan.HS_FLAG_SINGLEMATCH] * len(words)
    database.compile(
        expressions=list(words), ids=list(range(len(words))), elements=len(words), flags=flags, literal=True
    )
    return database


def _announces(chunk: bytes) -> bool:
    """Return whether a piece may announce changes; `re` would take longer for this than all the masking."""
    found: list[int] = []
    _words().scan(chunk, match_event_handler=lambda number, *_: found.append(number))
    return bool(found)


class ChangeCounter:
    """Parses a log in chunks. Memory is limited by the longest line, at most ``MAX_LINE_BYTES``."""

    def __init__(self) -> None:
        """Start with an empty log."""
        self._line = bytearray()
        self._skipping = False
        self._sums: dict[str, list[Changes]] = {"applied": [], "printed": [], "document": []}

    def feed(self, chunk: bytes) -> None:
        """Parse the next chunk of the log."""
        first, last = chunk.find(b"\n"), chunk.rfind(b"\n")
        if first < 0:
            self._hold(chunk)
            return
        self._hold(chunk[:first])
        self._end_line()
        # Most chunks have no plan and are not split into lines.
        if _announces(chunk):
            for line in chunk[first + 1 : last].split(b"\n"):
                self._parse_line(line)
        self._hold(chunk[last + 1 :])

    def result(self) -> Changes | None:
        """Return the sum of the changes, None if no plan was printed.

        Applied changes have precedence over planned ones, and a plan that is printed as text or as records has
        precedence over its document, which is the same plan.
        """
        self._end_line()
        for found in self._sums.values():
            if found:
                return Changes(
                    operation=found[0].operation,
                    add=sum(one.add for one in found),
                    change=sum(one.change for one in found),
                    destroy=sum(one.destroy for one in found),
                    bring_in=sum(one.bring_in for one in found),
                    plans=len(found),
                )
        return None

    def _hold(self, part: bytes) -> None:
        if self._skipping:
            return
        self._line += part
        if len(self._line) > MAX_LINE_BYTES:
            self._line.clear()
            self._skipping = True

    def _end_line(self) -> None:
        if not self._skipping:
            self._parse_line(bytes(self._line))
        self._line.clear()
        self._skipping = False

    def _parse_line(self, line: bytes) -> None:
        if not _INTERESTING.search(line):
            return
        bare = _ESCAPE.sub(b"", line).strip()
        if bare.startswith(b"{"):
            self._record(bare)
        elif (match := _APPLIED.match(bare)) or (match := _DESTROYED.match(bare)):
            self._add("applied", Operation.APPLIED, match.groupdict())
        elif match := _PLAN.match(bare):
            self._add("printed", Operation.PLANNED, match.groupdict())
        elif _NOTHING.match(bare):
            self._add("printed", Operation.PLANNED, {})

    def _record(self, line: bytes) -> None:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(record, dict):
            return
        changes = record.get("changes")
        if record.get("type") == "change_summary" and isinstance(changes, dict):
            applied = changes.get("operation") in {"apply", "destroy"}
            counts = {name: changes.get(key) for name, key in _RECORD_KEYS.items()}
            if applied:
                self._add("applied", Operation.APPLIED, counts)
            else:
                self._add("printed", Operation.PLANNED, counts)
        elif isinstance(record.get("resource_changes"), list):
            self._add("document", Operation.PLANNED, _counts(record["resource_changes"]))

    def _add(self, kind: str, operation: Operation, counts: dict[str, Any]) -> None:
        try:
            numbers = {name: min(max(int(count or 0), 0), _MAX_COUNT) for name, count in counts.items()}
        except (TypeError, ValueError, OverflowError):
            return
        self._sums[kind].append(Changes(operation=operation, **numbers))


_RECORD_KEYS: Final = {"add": "add", "change": "change", "destroy": "remove", "bring_in": "import"}


def _counts(resource_changes: list[Any]) -> dict[str, int]:
    """Return the counts of a plan document; a replacement counts as a destruction and an addition, as in Terraform."""
    counts = {"add": 0, "change": 0, "destroy": 0, "bring_in": 0}
    for resource in resource_changes:
        change = resource.get("change") if isinstance(resource, dict) else None
        actions = change.get("actions") if isinstance(change, dict) else None
        if not isinstance(change, dict) or not isinstance(actions, list):
            continue
        counts["add"] += "create" in actions
        counts["change"] += "update" in actions
        counts["destroy"] += "delete" in actions
        counts["bring_in"] += bool(change.get("importing"))
    return counts
